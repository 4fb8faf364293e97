from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Iterator

from pvc.cli.client import Client
from pvc.cli.layout import Row, sheet
from pvc.cli.output import Output
from pvc.units import format_size

HELP = "show one OVA"
EXAMPLE = "appliance"


def arguments(parser: ArgumentParser) -> None:
    parser.add_argument("ova", metavar="OVA")


def run(args: Namespace, api: Client, out: Output) -> None:
    out.show(api.one("provisioner", "ova", args.ova), lambda ova: sheet(list(_facts(ova))))


def _facts(ova: Row) -> Iterator[tuple[str, object]]:
    yield "Name", ova["name"]
    if ova.get("problem"):
        yield "Problem", ova["problem"]
        return
    yield "Machine", ova["title"]
    yield "vCPUs", ova["vcpus"]
    yield "Memory", f"{ova['memory']}M"
    yield "Firmware", ova["firmware"]
    for volume in ova["volumes"]:
        origin = f", from {volume['file']} ({volume['file_format']})" if volume["file"] else ", empty"
        name = f"{volume['pool']}/{volume['volume_name']}"
        yield f"Disk {volume['disk_id']}", f"{name}, {format_size(volume['size'])}{origin}"
    for nic in ova["networks"]:
        yield "NIC", f"{nic['network']}{nic['model'] and ', ' + nic['model']}"
    yield "Size of the file", format_size(ova["size"])
    yield "Manifest", "holds" if ova["manifest"] else "none"
    yield "Certificate", "not looked at" if ova["certificate"] else "none"
    yield "Passed over", ", ".join(ova["passed_over"]) or "nothing"
