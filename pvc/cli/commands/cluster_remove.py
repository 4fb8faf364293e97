from __future__ import annotations

from argparse import ArgumentParser, Namespace

from pvc.cli import clusters
from pvc.cli.client import Client
from pvc.cli.output import Output

HELP = "forget a cluster's name and address"
EXAMPLE = "work"


def arguments(parser: ArgumentParser) -> None:
    parser.add_argument("name", metavar="CLUSTER")


def run(args: Namespace, api: Client, out: Output) -> None:
    clusters.find(args.name)
    clusters.save({name: cluster for name, cluster in clusters.load().items() if name != args.name})
    out.changed({"message": f'Cluster "{args.name}" is forgotten here.'})
