"""What the commands that replace the whole configuration have in common: a plan, a question, the act."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Iterator
from typing import Any

from pvc.cli import following
from pvc.cli.client import Client
from pvc.cli.following import Followed
from pvc.cli.layout import printable
from pvc.cli.output import Output, confirm
from pvc.cli.progress import COUNTED

Ask = Callable[..., dict[str, Any]]

CONFIRMED = {"yes-i-really-mean-it": "yes"}

# Of each kind of difference, as many are shown to people.
_MOST = 20


def arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--dry-run", action="store_true", help="only say what would change, and what stands in the way")
    text = "though guests run that it does not know, nodes do not answer or tasks are under way"
    parser.add_argument("--force", action="store_true", help=text)
    parser.add_argument("-y", "--yes", action="store_true", help="do not ask")
    following.arguments(parser)


def replace(what: str, args: Namespace, api: Client, out: Output, ask: Ask, question: str) -> None:
    """what: the kind of the task. ask: asks the API, with more parameters."""
    if args.dry_run:
        out.show(ask(dry_run=True), told)
        return
    if not args.yes:
        for line in told(ask(dry_run=True)):
            out.note(line)
        confirm(question, agreed=False)
    followed = Followed(what, "Nothing is changed then.", COUNTED[what])
    following.show(followed, ask(force=args.force, wait=False, **CONFIRMED), args, api, out)


def told(answer: dict[str, Any]) -> Iterator[str]:
    for mark, what in (("+", "creates"), ("~", "changes"), ("-", "deletes")):
        found = answer["plan"][what]
        for one in found[:_MOST]:
            fields = f" ({', '.join(one['fields'])})" if one["fields"] else ""
            yield printable(f"{mark} {one['kind']} {one['name']}{fields}")
        if len(found) > _MOST:
            yield f"{mark} {len(found) - _MOST} more"
    yield from (printable(note) for note in answer["notes"])
    for one in answer["obstacles"]:
        how = "--force passes over it" if one["force"] else "wait for its end"
        yield printable(f"In the way: {one['problem']} ({how}).")
    yield printable(answer["message"])
