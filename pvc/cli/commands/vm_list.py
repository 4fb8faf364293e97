from __future__ import annotations

from argparse import ArgumentParser, Namespace

from pvc.cli.client import Client
from pvc.cli.layout import Column, memory_of, table
from pvc.cli.output import Output

HELP = "list VMs"
EXAMPLE = "-s start -g web --without-tag old"

# What happens to these may change the list.
EVENTS = ("vm", "node", "network")

_STATES = 'those in this state, as start, stop or fail; a list says "start?" where the node does not answer'

COLUMNS: list[Column] = [
    ("NAME", "name"),
    ("STATE", lambda vm: f"{vm['state']}?" if vm.get("doubt") else vm["state"]),
    ("NODE", "node"),
    ("MIGRATED", lambda vm: f"from {vm['last_node']}" if vm.get("last_node") else ""),
    (">VCPUS", "vcpu"),
    (">MEMORY", memory_of),
    ("NETWORKS", lambda vm: [nic.get("vni") or nic.get("source") for nic in vm.get("networks", [])]),
    ("VOLUMES", lambda vm: [disk.get("name") for disk in vm.get("disks", [])]),
    ("TAGS", lambda vm: [tag["name"] for tag in vm.get("tags", [])]),
]


def arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "limit", nargs="?", metavar="LIMIT", help="regular expression that the name matches, or a whole UUID"
    )
    parser.add_argument("-t", "--node", metavar="NODE", help="those on this node")
    parser.add_argument("-s", "--state", metavar="STATE", help=_STATES)
    parser.add_argument("-g", "--tag", action="append", metavar="TAG", help="those with this tag; repeated: with each")
    parser.add_argument("--any-tag", action="append", metavar="TAG", help="those with this tag; repeated: with one")
    parser.add_argument("--without-tag", action="append", metavar="TAG", help="those without this tag; may be repeated")
    parser.add_argument("-n", "--negate", action="store_true", default=None, help="all but those of -t, -s and -g")


def run(args: Namespace, api: Client, out: Output) -> None:
    vms = api.get(
        "vm",
        limit=args.limit,
        node=args.node,
        state=args.state,
        tag=args.tag,
        any_tag=args.any_tag,
        without_tag=args.without_tag,
        negate=args.negate,
    )
    out.show(vms, lambda vms: table(vms, COLUMNS))
