"""The shell client. Start-up time is a feature: the command is picked by hand, and only its own module,
argument parser and connection are ever loaded."""

from __future__ import annotations

import os
import sys

from pvc import __version__
from pvc.errors import PVCError

# The exit code for each code of the API and of the client; any other is a bug: 1. A promise, see `pvc --help`.
EXIT = {
    "usage": 2,
    "invalid_input": 2,
    "invalid_xml": 2,
    "invalid_image": 2,
    "not_built": 2,
    "not_found": 3,
    "conflict": 4,
    "already_exists": 4,
    "changed": 4,
    "busy": 4,
    "in_use": 4,
    "no_room": 4,
    "image_too_large": 4,
    "too_large": 4,
    "pool_full": 4,
    "store_locked": 4,
    "unreachable": 5,
    "timeout": 5,
    "unavailable": 5,
    "store_unavailable": 5,
    "session_lost": 5,
    "hypervisor_unavailable": 5,
    "pool_unavailable": 5,
    "node_unavailable": 5,
    "unauthenticated": 6,
    "not_permitted": 6,
    "hypervisor_refused": 7,
    "conversion_failed": 7,
    "declined": 8,
    "cancelled": 8,
}
INTERRUPTED = 130
BROKEN_PIPE = 141


def main(argv: list[str]) -> int:
    """Run one command line and return its exit code."""
    try:
        code = _run(argv)
        sys.stdout.flush()
        return code
    except PVCError as exc:
        from pvc.cli.layout import printable

        print(printable(str(exc)), file=sys.stderr)
        return EXIT.get(exc.code, 1)
    except KeyboardInterrupt:
        print(file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # what is still buffered has no reader
        return BROKEN_PIPE


def _run(argv: list[str]) -> int:
    if argv[:1] in (["--version"], ["-V"]):
        print(f"pvc {__version__}")
        return 0
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    from pvc.cli.words import HELP, split

    name, rest, is_command = split(argv)
    if is_command:
        return _command(name, rest)
    from pvc.cli.help import group_help

    asked = rest == HELP
    print(group_help(name), file=sys.stdout if asked else sys.stderr)
    return 0 if asked else EXIT["usage"]


def _command(name: str, argv: list[str]) -> int:
    from pvc.cli.arguments import command_parser, token
    from pvc.cli.client import Client
    from pvc.cli.output import Output
    from pvc.cli.registry import load

    command = load(name)
    args = command_parser(name, command).parse_args(argv)
    command.run(args, Client(args.cluster, token=token(args.token_file), ca=args.ca), Output(args.output))
    return 0
