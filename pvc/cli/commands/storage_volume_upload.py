from __future__ import annotations

from argparse import ArgumentParser, Namespace
from os import SEEK_CUR
from typing import BinaryIO

from pvc.cli import sparse
from pvc.cli.body import open_image
from pvc.cli.client import Client
from pvc.cli.output import Output
from pvc.cli.progress import Progress
from pvc.cli.watching import watch

HELP = "stream an image into a volume"
EXAMPLE = "local web1 debian.qcow2 -f qcow2"


# Offset, bytes there, format; all else is raw.
BEGINNINGS = (
    (0, b"QFI\xfb", "qcow2"),
    (0, b"QED\0", "qed"),
    (0, b"KDMV", "vmdk"),
    (0, b"vhdxfile", "vhdx"),
    (0, b"conectix", "vpc"),
    (64, b"\x7f\x10\xda\xbe", "vdi"),
)


def arguments(parser: ArgumentParser) -> None:
    parser.add_argument("pool", metavar="POOL")
    parser.add_argument("volume", metavar="VOLUME")
    parser.add_argument("file", metavar="FILE", help='the image, "-" for stdin')
    parser.add_argument(
        "-f",
        "--format",
        metavar="FORMAT",
        help="of the image: raw, qcow2, qed, vmdk, vdi, vpc or vhdx, also of one packed with gzip, xz, zstd or bzip2; "
        "default: what a file begins like, else raw",
    )
    parser.add_argument(
        "--checksum", metavar="SUM", help='"sha256" to be told it, "sha256:HEX" to have another image refused'
    )
    parser.add_argument("--verify", action="store_true", help="read back what was written and compare")


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
                meanwhile=lambda answered: watch(answered, f"volume/{args.pool}/{args.volume}", api, progress),
                image_format=image_format,
                image_size=None if runs is None else size,
                checksum=args.checksum,
                verify=args.verify or None,
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
    head = source.read(max(offset + len(magic) for offset, magic, _ in BEGINNINGS))
    source.seek(-len(head), SEEK_CUR)
    return next((name for offset, magic, name in BEGINNINGS if head.startswith(magic, offset)), "raw")
