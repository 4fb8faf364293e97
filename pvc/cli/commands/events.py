from __future__ import annotations

import json
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from typing import Any

from pvc.cli.client import Client
from pvc.cli.failure import Failure
from pvc.cli.layout import cell, moment
from pvc.cli.output import Output

HELP = "show what happened in the cluster, or what happens"
EXAMPLE = "-f --kind vm"

KINDS = ("vm", "node", "network", "task", "cluster")
# Facts that go without saying where a thing is new.
_EMPTY = ("", None, 0, False)


def arguments(parser: ArgumentParser) -> None:
    parser.add_argument("-f", "--follow", action="store_true", help="what happens from now on, until interrupted")
    parser.add_argument("--kind", action="append", choices=KINDS, help="only this; may be given again")
    parser.add_argument("--name", action="append", metavar="NAME", help="only this name or id; may be given again")
    parser.add_argument("--after", metavar="ID", help="go on after this event, as JSON names it")


def run(args: Namespace, api: Client, out: Output) -> None:
    chosen = {"kind": args.kind, "name": args.name, "after": args.after}
    if not args.follow:
        out.show(api.get("events", **chosen), lambda events: map(_line, events))
        return
    from pvc.cli.sse import blocks

    for block in blocks(api.stream("events", follow=True, **chosen)):
        _show(block, out)
    raise Failure("unreachable", "The stream of events broke off; --after goes on from the last one that was had.")


def _show(block: dict[str, str], out: Output) -> None:
    """Raises Failure with the server's reason for the end."""
    if "data" not in block:
        return
    data = json.loads(block["data"])
    match block.get("event"):
        case "end":
            raise Failure(data["code"], data["message"])
        case "reload":
            out.note(data["message"])
        case _:
            print(json.dumps(data) if out.machine else _line(data), flush=True)


def _line(event: dict[str, Any]) -> str:
    head = f"{moment(event['at'])}  {event['kind']:<7}  {cell(event['name'])}  "
    return head + (", ".join(_facts(event)) or "configuration")


def _facts(event: dict[str, Any]) -> Iterator[str]:
    if event["change"] == "changed":
        for fact, (was, now) in event["changed"].items():
            yield f"{fact} {cell(was)} -> {cell(now)}"
        return
    yield event["change"]
    if event["change"] == "created":
        yield from (f"{fact} {cell(now)}" for fact, now in event["now"].items() if now not in _EMPTY)
