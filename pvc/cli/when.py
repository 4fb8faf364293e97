"""When a change of a VM's devices reaches its guest: the options of every command that makes one."""

from __future__ import annotations

from argparse import ArgumentParser


def when(parser: ArgumentParser) -> None:
    one = parser.add_mutually_exclusive_group()
    one.add_argument(
        "--live", action="store_const", const=True, dest="live", help="also in the running guest; the default"
    )
    one.add_argument(
        "--no-live", action="store_const", const=False, dest="live", help="in the configuration, for the next start"
    )
    one.add_argument(
        "--restart", action="store_const", const=True, help="in the configuration, and restart the VM for it"
    )
