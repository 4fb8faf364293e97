from __future__ import annotations

import os
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import BinaryIO

from pvc.cli import sparse
from pvc.cli.client import Client
from pvc.cli.failure import Failure
from pvc.cli.output import Output
from pvc.cli.progress import Progress

HELP = "write what a volume holds into a file"
EXAMPLE = "local web1 web1.qcow2 -f qcow2"


def arguments(parser: ArgumentParser) -> None:
    parser.add_argument("pool", metavar="POOL")
    parser.add_argument("volume", metavar="VOLUME")
    parser.add_argument("file", metavar="FILE", help='a new file, "-" for stdout')
    parser.add_argument("-f", "--format", choices=("raw", "qcow2"), default="raw", help="default: raw")
    parser.add_argument(
        "-s", "--snapshot", metavar="SNAPSHOT", help="what to write; default: the volume as it is at the beginning"
    )


def run(args: Namespace, api: Client, out: Output) -> None:
    framed = args.format == "raw" and args.file != "-"
    progress, totals = Progress(quiet=out.quiet), [0]
    try:
        with _target(args.file) as target:
            pieces = api.stream(
                *("storage", "ceph", "volume", args.pool, args.volume, "download"),
                began=lambda length: totals.append(length or 0),
                image_format=args.format,
                snapshot=args.snapshot,
                sparse=framed or None,
            )
            shown = _shown(pieces, lambda done: progress.show("receiving", done, totals[-1]))
            if framed:
                _write_frames(shown, target)
            else:
                target.writelines(shown)
    except BaseException:
        progress.finish(whole=False)
        raise
    progress.finish()
    if args.file != "-":
        out.changed({"message": f'Wrote "{args.file}".'})


@contextmanager
def _target(name: str) -> Iterator[BinaryIO]:
    """A file that is not there before, nor afterwards when something fails."""
    if name == "-":
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    try:
        file = open(name, "xb")  # noqa: SIM115
    except OSError as exc:
        raise Failure("usage", f'The file "{name}" cannot be made: {exc.strerror}') from exc
    try:
        with file:
            yield file
    except BaseException:
        with suppress(FileNotFoundError):
            os.unlink(name)
        raise


def _shown(pieces: Iterator[bytes], show: Callable[[int], None]) -> Iterator[bytes]:
    done = 0
    for piece in pieces:
        done += len(piece)
        show(done)
        yield piece


def _write_frames(pieces: Iterator[bytes], target: BinaryIO) -> None:
    """The last place is that of the end."""
    size = 0
    for at, data in sparse.unframed(pieces):
        target.seek(at)
        target.write(data)
        size = at
    target.truncate(size)
