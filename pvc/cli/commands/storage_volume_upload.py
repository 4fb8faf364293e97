from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from contextlib import suppress
from os import SEEK_CUR
from typing import BinaryIO

from pvc.cli import sparse
from pvc.cli.body import open_image
from pvc.cli.client import Client
from pvc.cli.failure import Failure
from pvc.cli.output import Output
from pvc.cli.progress import Progress

HELP = "stream an image into a volume"
EXAMPLE = "local web1 debian.qcow2 -f qcow2"

# Seconds the server may take to answer before its task is asked how far it is, and between two such questions.
PATIENCE_S, LONGEST_POLL_S = 0.2, 10


QCOW2 = b"QFI\xfb"


def arguments(parser: ArgumentParser) -> None:
    parser.add_argument("pool", metavar="POOL")
    parser.add_argument("volume", metavar="VOLUME")
    parser.add_argument("file", metavar="FILE", help='the image, "-" for stdin')
    parser.add_argument(
        "-f", "--format", metavar="FORMAT", help="of the image: raw or qcow2; default: what a file begins like"
    )
    parser.add_argument(
        "--checksum", metavar="SUM", help='"sha256" to be told it, "sha256:HEX" to have another image refused'
    )


def run(args: Namespace, api: Client, out: Output) -> None:
    source, size = open_image(args.file)
    progress = Progress(quiet=out.quiet)
    try:
        with source:
            image_format = args.format or _format(source)
            runs = sparse.data_runs(source, size) if size and image_format == "raw" else None
            answer = api.upload(
                ("storage", "ceph", "volume", args.pool, args.volume, "upload"),
                source,
                size,
                runs=runs,
                sent=lambda done: progress.show("receiving", done, size or 0),
                meanwhile=lambda answered: _watch(answered, f"volume/{args.pool}/{args.volume}", api, progress),
                image_format=image_format,
                image_size=None if runs is None else size,
                checksum=args.checksum,
            )
    except BaseException:
        progress.finish(whole=False)
        raise
    progress.finish()
    out.changed(answer)


def _format(source: BinaryIO) -> str:
    """What a file begins like; a stream that cannot be read twice is raw."""
    if not source.seekable():
        return "raw"
    head = source.read(len(QCOW2))
    source.seek(-len(head), SEEK_CUR)
    return "qcow2" if head == QCOW2 else "raw"


def _watch(answered: Callable[[float], bool], target: str, api: Client, progress: Progress) -> None:
    """Show what the server does with the image until it answers. Not knowing does no harm to the upload."""
    if answered(PATIENCE_S):
        return
    with suppress(Failure):
        for task in api.get("tasks", target=target, status="running")[:1]:
            while task["status"] == "running" and not answered(0):
                progress.show(task["phase"], task["done"], task["total"])
                task = api.get("tasks", task["id"], after=task["version"], wait=LONGEST_POLL_S)
