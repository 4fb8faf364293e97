from __future__ import annotations

import locale
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pvc.cli.client import Client
from pvc.cli.failure import Failure
from pvc.cli.layout import printable
from pvc.cli.output import Output

HELP = "say what is missing or wrong on this machine, and what mends it"
EXAMPLE = "serve"

ROLES = ("serve", "agent", "client")

Finding = dict[str, Any]


def arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "roles",
        nargs="*",
        type=_role,
        metavar="ROLE",
        help="what this machine is for: serve, agent or client; default: all, or client where -c names another machine",
    )
    parser.add_argument(
        "--config", type=Path, metavar="FILE", help="configuration to judge by, instead of the daemons'"
    )


def _role(text: str) -> str:
    if text not in ROLES:
        raise ArgumentTypeError(f'"{text}" is not serve, agent or client')
    return text


def run(args: Namespace, api: Client, out: Output) -> None:
    away = not api.url.startswith("unix:")
    roles = set(args.roles) or ({"client"} if away and args.config is None else set(ROLES))
    findings = _daemons(roles & {"serve", "agent"}, args.config)
    if "client" in roles:
        findings += [*_locale(), *_server(api)]
    out.show(findings, _lines)
    wrong = sum(finding["verdict"] == "wrong" for finding in findings)
    if wrong:
        raise Failure("unavailable", f"{wrong} of {len(findings)} checks found something wrong.")


def _lines(findings: list[Finding]) -> Iterator[str]:
    longest = max(len(finding["check"]) for finding in findings)
    for finding in findings:
        mend = f"  Try: {finding['mend']}" if finding["mend"] else ""
        yield printable(f"{finding['verdict']:<7}  {finding['check']:<{longest}}  {finding['text']}{mend}")


def _daemons(roles: set[str], config: Path | None) -> list[Finding]:
    """Loads what the daemons load, so only when they are asked about."""
    if not roles:
        return []
    from dataclasses import asdict

    from pvc.doctor.main import examine

    return [asdict(finding) for finding in examine(roles, config)]


def _locale() -> Iterator[Finding]:
    encoding = locale.getpreferredencoding()
    if encoding.upper().replace("-", "") == "UTF8":
        yield _finding("locale", "ok", "The terminal takes every letter.")
    else:
        text = f"The locale's encoding is {encoding}: letters beyond it are shown as escapes."
        yield _finding("locale", "warning", text, "export LC_ALL=C.UTF-8")


def _server(api: Client) -> Iterator[Finding]:
    from pvc import __version__

    try:
        version = api.get("status").get("pvc_version")
    except Failure as exc:
        mend = "systemctl enable --now pvc-server" if api.url.startswith("unix:") else "pvc cluster list"
        yield _finding("server", "wrong", str(exc), mend)
        return
    if version == __version__:
        yield _finding("server", "ok", f'pvc serve {version} answers at "{api.url}".')
    else:
        text = f'pvc serve {version} answers at "{api.url}", and this is pvc {__version__}.'
        yield _finding("server", "warning", text, "apt-get install pvc")


def _finding(check: str, verdict: str, text: str, mend: str = "") -> Finding:
    return {"check": check, "verdict": verdict, "text": text, "mend": mend}
