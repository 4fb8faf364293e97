from __future__ import annotations

import os
import sys
from argparse import ArgumentParser, Namespace

from pvc.cli.client import Client
from pvc.cli.document import edit, read
from pvc.cli.failure import Failure
from pvc.cli.output import Output, confirm

HELP = "change the libvirt XML of a VM, showing the difference first"
EXAMPLE = "web1 web1.xml --restart"


def arguments(parser: ArgumentParser) -> None:
    parser.add_argument("vm", metavar="VM")
    parser.add_argument("file", nargs="?", metavar="FILE", help='the whole new XML, "-" for stdin; default: --editor')
    parser.add_argument("--editor", action="store_true", help="edit the present XML in $VISUAL or $EDITOR")
    parser.add_argument("--restart", action="store_true", help="restart the VM so that the change holds at once")
    parser.add_argument("-y", "--yes", action="store_true", help="apply without asking")
    parser.add_argument("--dry-run", action="store_true", help="only show the difference")


def run(args: Namespace, api: Client, out: Output) -> None:
    if args.file and not args.editor:
        _apply(args, read(args.file), api, out)
    elif args.file or not sys.stdin.isatty():
        raise Failure("usage", 'Give a FILE ("-" for stdin), or use --editor on a terminal.')
    else:
        _edit(args, api, out)


def _edit(args: Namespace, api: Client, out: Output) -> None:
    present = api.one("vm", args.vm)["xml"]
    xml, file = edit(present, ".xml")
    try:
        if xml == present:
            raise Failure("declined", "Nothing was changed.")
        _apply(args, xml, api, out)
    except Failure as exc:
        if exc.code != "declined":
            out.note(f'Your edit is kept in "{file}".')
            raise
        os.unlink(file)
        raise
    os.unlink(file)


def _apply(args: Namespace, xml: str, api: Client, out: Output) -> None:
    if args.dry_run or not args.yes:
        plan = api.put("vm", args.vm, xml=xml, restart=args.restart, dry_run=True)
        if not out.machine:
            out.diff(plan["diff"])
        if args.dry_run or not plan["diff"]:
            out.changed(plan)
            return
        confirm(f'Change VM "{args.vm}"{" and restart it" if args.restart else ""}?', agreed=False)
    answer = api.put("vm", args.vm, xml=xml, restart=args.restart)
    if args.yes and not out.machine:
        out.diff(answer["diff"])
    out.changed(answer)
