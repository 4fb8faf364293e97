from __future__ import annotations

from argparse import ArgumentParser, Namespace

from pvc.cli.client import Client
from pvc.cli.following import follow, waiting
from pvc.cli.output import Output

HELP = "clone a volume inside its pool"
EXAMPLE = "local web1 web2"


def arguments(parser: ArgumentParser) -> None:
    parser.add_argument("pool", metavar="POOL")
    parser.add_argument("volume", metavar="VOLUME")
    parser.add_argument("new_volume", metavar="NEW")
    waiting(parser)


def run(args: Namespace, api: Client, out: Output) -> None:
    path = ("storage", "ceph", "volume", args.pool, args.volume, "clone")
    answer = api.post(*path, new_volume=args.new_volume, wait=False)
    if answer.get("task") and args.wait:
        task = follow(answer["task"], api, out, "Cancel the copy? Nothing is left of it then.")
        answer = {**answer, "message": task["result"]}
    out.changed(answer)
