"""The shell client. Start-up time is a feature: the command is picked by hand, and only its own module,
argument parser and connection are ever loaded."""

from __future__ import annotations

import os
import sys
from contextlib import suppress

from pvc import __version__
from pvc.errors import PVCError
from pvc.outcomes import EXIT

INTERRUPTED = 130
BROKEN_PIPE = 141


def main(argv: list[str]) -> int:
    """Run one command line and return its exit code."""
    _open_streams()
    try:
        code = _run(argv)
        sys.stdout.flush()
        return code
    except PVCError as exc:
        from pvc.cli.layout import printable

        with suppress(OSError):
            sys.stdout.flush()  # what was said before stands before it, also where both go into one file
        print(printable(str(exc)), file=sys.stderr)
        return EXIT.get(exc.code, 1)
    except KeyboardInterrupt as exc:  # it may say what became of it
        print(exc, file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        _forget_output()
        return BROKEN_PIPE
    except OSError as exc:
        _forget_output()
        print(f"The result cannot be written: {exc.strerror}", file=sys.stderr)
        return EXIT["unavailable"]


def _open_streams() -> None:
    """Put /dev/null where pvc was started with a closed stream, before a socket takes that number."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode))  # noqa: SIM115


def _forget_output() -> None:
    """Let what is still buffered go nowhere, so that Python does not fail over it at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _run(argv: list[str]) -> int:
    if argv[:1] in (["--version"], ["-V"]):
        print(f"pvc {__version__}")
        return 0
    if argv[:1] == ["--complete"]:
        return _complete(argv[1:])
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


def _complete(words: list[str]) -> int:
    """What cannot be found out is not offered; the user has not asked for anything yet."""
    from pvc.cli.completion import complete

    with suppress(PVCError):
        print("\n".join(complete(words)))
    return 0


def _command(name: str, argv: list[str]) -> int:
    from pvc.cli.arguments import client, command_parser
    from pvc.cli.failure import Failure
    from pvc.cli.output import Output
    from pvc.cli.registry import load

    command = load(name)
    args = command_parser(name, command).parse_args(argv)
    api = client(args)
    shown = {"wanted": args.columns, "headers": args.headers} if "columns" in args else {}
    out = Output(args.output, columns=getattr(command, "COLUMNS", None), quiet=args.quiet, **shown)
    api.note = out.note
    try:
        if not getattr(args, "watch", False):
            command.run(args, api, out)
            return 0
        from pvc.cli.redrawing import turns

        for number, _ in enumerate(turns(api, getattr(command, "EVENTS", ()))):
            if number:
                out.again()
            command.run(args, api, out)
            sys.stdout.flush()
    except Failure as exc:
        if exc.code not in ("not_found", "unauthenticated"):
            raise
        from pvc.cli.hints import hinted

        raise hinted(exc, api) from exc
    return 0
