from __future__ import annotations

import os
from argparse import ArgumentParser, Namespace
from functools import partial
from os import SEEK_CUR
from typing import Any, BinaryIO

from pvc.cli import sparse
from pvc.cli.body import open_image
from pvc.cli.client import Client, Parameter
from pvc.cli.failure import Failure
from pvc.cli.following import Followed, show
from pvc.cli.layout import Row, size
from pvc.cli.output import Output, ask, is_watched
from pvc.cli.progress import Progress
from pvc.cli.resuming import resumed
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


FORMATS = ("raw", "qcow2", "qed", "vmdk", "vdi", "vpc", "vhdx")
ENDINGS = (
    (".qcow2", "qcow2"),
    (".qed", "qed"),
    (".vmdk", "vmdk"),
    (".vhdx", "vhdx"),
    (".vhd", "vpc"),
    (".vpc", "vpc"),
    (".vdi", "vdi"),
)


def arguments(parser: ArgumentParser) -> None:
    parser.add_argument("pool", metavar="POOL")
    parser.add_argument("volume", metavar="VOLUME")
    parser.add_argument(
        "file",
        metavar="FILE",
        help='the image, "-" for stdin, or an http or https address for the server to fetch, where it may',
    )
    parser.add_argument(
        "-f",
        "--format",
        choices=FORMATS,
        metavar="FORMAT",
        help="of the image: raw, qcow2, qed, vmdk, vdi, vpc or vhdx, also of one packed with gzip, xz, zstd or bzip2; "
        "default: what a file begins like, else raw",
    )
    parser.add_argument(
        "--checksum", metavar="SUM", help='"sha256" to be told it, "sha256:HEX" to have another image refused'
    )
    parser.add_argument("--verify", action="store_true", help="read back what was written and compare")
    parser.add_argument("-y", "--yes", action="store_true", help="do not ask before data is replaced")
    parser.add_argument("--no-wait", dest="wait", action="store_false", help="return once the server fetches")


def run(args: Namespace, api: Client, out: Output) -> None:
    if args.file.startswith(("http://", "https://")):
        return _fetch(args, api, out)
    if not args.wait:
        raise Failure("usage", "Only what the server fetches need not be waited for.")
    source, size = open_image(args.file)
    _check_replaced(_there(args, api), args)
    progress = Progress(quiet=out.quiet)
    path = ("storage", "ceph", "volume", args.pool, args.volume, "upload")
    try:
        with source:
            answer = _sent(args, api, source, size, path, progress)
    except BaseException:
        progress.finish(whole=False)
        raise
    progress.finish()
    return out.changed(answer)


def _check_replaced(volume: Row, args: Namespace) -> None:
    """Before anything is sent."""
    if used := volume.get("stats", {}).get("used_bytes"):
        name = f"{args.pool}/{args.volume}"
        ask(f'Replace all that volume "{name}" holds ({size(used)})?', agreed=args.yes)


def _there(args: Namespace, api: Client) -> Row:
    try:
        return api.one("storage", "ceph", "volume", args.pool, args.volume)
    except Failure as exc:
        if exc.fields.get("kind") != "volume":
            raise
        hint = f'make it first: "pvc storage volume add {args.pool} {args.volume} SIZE".'
        raise Failure(exc.code, f"{str(exc).removesuffix('.')}: {hint}") from exc


def _fetch(args: Namespace, api: Client, out: Output) -> None:
    if is_watched():
        _check_replaced(_there(args, api), args)
    answer = api.post_in_query(
        *("storage", "ceph", "volume", args.pool, args.volume, "upload"),
        image_format=args.format or _format_named(args.file),
        url=args.file,
        checksum=args.checksum,
        verify=args.verify or None,
        wait=False,
    )
    show(Followed("upload", "The volume keeps what it has."), answer, args, api, out)


def _format_named(url: str) -> str:
    """What a file is called; the server looks at what it is."""
    name = url.partition("?")[0]
    for packing in (".gz", ".xz", ".zst", ".bz2"):
        name = name.removesuffix(packing)
    return next((kind for ending, kind in ENDINGS if name.endswith(ending)), "raw")


def _sent(
    args: Namespace, api: Client, source: BinaryIO, size: int | None, path: tuple[str, ...], progress: Progress
) -> Any:
    image_format = args.format or _format(source)
    runs = sparse.data_runs(source, size) if size and image_format == "raw" else None
    word = os.urandom(8).hex()  # so that it is this upload that is gone on with, and no other
    given: dict[str, Parameter] = {
        "image_format": image_format,
        "image_size": None if runs is None else size,
        "checksum": args.checksum,
        "verify": args.verify or None,
        "resume": word if size else None,
    }

    def send(begin: int | None) -> Any:
        return api.upload(
            path,
            source,
            size,
            runs=runs,
            sent=lambda done: progress.show("receiving", done, size or 0),
            meanwhile=lambda answered: watch(answered, f"volume/{args.pool}/{args.volume}", api, progress),
            begin=begin,
            **(given if begin is None else {"resume": word}),
        )

    return resumed(send, partial(api.get, *path, resume=word), api) if size else send(None)


def _format(source: BinaryIO) -> str:
    """What a file begins like; a stream that cannot be read twice is raw."""
    if not source.seekable():
        return "raw"
    head = source.read(max(offset + len(magic) for offset, magic, _ in BEGINNINGS))
    source.seek(-len(head), SEEK_CUR)
    return next((name for offset, magic, name in BEGINNINGS if head.startswith(magic, offset)), "raw")
