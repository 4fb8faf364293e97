from __future__ import annotations

from argparse import ArgumentParser, Namespace

from pvc.cli.body import open_image
from pvc.cli.client import Client
from pvc.cli.output import Output
from pvc.cli.progress import Progress
from pvc.cli.watching import watch

HELP = "stream an OVA into a pool, to make VMs of"
EXAMPLE = "appliance appliance.ova -p vms"


def arguments(parser: ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", help="what it shall be called")
    parser.add_argument("file", metavar="FILE", help='the OVA, "-" for stdin')
    parser.add_argument("-p", "--pool", required=True, metavar="POOL", help="where its disks go")
    parser.add_argument(
        "--checksum", metavar="SUM", help='"sha256" to be told it, "sha256:HEX" to have another file refused'
    )


def run(args: Namespace, api: Client, out: Output) -> None:
    source, size = open_image(args.file)
    progress = Progress(quiet=out.quiet)
    try:
        with source:
            answer = api.upload(
                ("provisioner", "ova", args.name),
                source,
                size,
                runs=None,
                sent=lambda done: progress.show("receiving", done, size or 0),
                meanwhile=lambda answered: watch(answered, f"ova/{args.name}", api, progress),
                pool=args.pool,
                ova_size=size,
                checksum=args.checksum,
            )
    except BaseException:
        progress.finish(whole=False)
        raise
    progress.finish()
    out.changed(answer)
