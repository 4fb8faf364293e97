"""Build the guest and say where it is."""

from argparse import ArgumentParser

from tests.guest import build

parser = ArgumentParser(prog="python -m tests.guest", description=__doc__)
parser.add_argument("parameters", nargs="*", metavar="NAME=N", help="of the guest: off=N, crash=N, deaf=1, dirty=N")
words = parser.parse_args().parameters
guest = build(**{name: int(value) for name, _, value in (word.partition("=") for word in words)})
print(guest.raw, guest.qcow2, sep="\n")
