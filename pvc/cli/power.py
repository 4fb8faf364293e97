"""What the commands that change the state of VMs have in common."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from typing import Any

from pvc.cli.client import Client, Parameter
from pvc.cli.failure import Failure
from pvc.cli.layout import printable
from pvc.cli.output import Output


def names(parser: ArgumentParser) -> None:
    parser.add_argument("names", nargs="+", metavar="VM")
    parser.add_argument("--no-wait", action="store_true", help="return once the request is accepted")


def deadline(parser: ArgumentParser) -> None:
    text = "how long a guest has to shut down before the plug is pulled; default: the server's, 180 unless configured"
    parser.add_argument("--timeout", type=float, metavar="SECONDS", help=text)


def waiting_for(state: str, name: str, timeout: object = None) -> str:
    """What whoever waits is told. timeout: the guest's, in seconds, where one was given."""
    if state in ("start", "stop"):
        return printable(f'Waiting for the node of VM "{name}" to {state} it. Ctrl-C leaves it going on.')
    time = f"after {timeout:g} s" if isinstance(timeout, float) else "when its time is up (180 s unless configured)"
    return printable(
        f'Waiting for the guest of VM "{name}" to shut down; {time} its plug is pulled. Ctrl-C leaves it going on.'
    )


def ask_each(state: str, args: Namespace, api: Client, out: Output, **parameters: Parameter) -> None:
    """Ask every VM of `args` for `state`; one that refuses does not keep the others from being asked."""
    answers: list[dict[str, Any]] = []
    refusals: list[Failure] = []
    for name in args.names:
        api.meanwhile = waiting_for(state, name, parameters.get("timeout"))
        try:
            answer = api.post("vm", name, "state", state=state, **parameters)
        except Failure as exc:
            refusals.append(exc)
            if len(args.names) > 1:
                out.note(printable(str(exc)))
        else:
            answers.append({"name": name, **answer})
    if out.machine or not out.quiet:
        out.show(answers, lambda answers: [printable(answer["message"]) for answer in answers])
    if len(args.names) == 1 and refusals:
        raise refusals[0]
    if refusals:
        raise Failure(refusals[0].code, f"{len(refusals)} of {len(args.names)} VMs could not be asked.")
