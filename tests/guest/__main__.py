"""`python -m tests.guest [off=N] [crash=N] [deaf=1]`: build the guest and say where it is."""

import sys

from tests.guest import build

guest = build(**{name: int(value) for name, _, value in (word.partition("=") for word in sys.argv[1:])})
print(guest.raw, guest.qcow2, sep="\n")
