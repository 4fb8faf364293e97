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

# Columns of the longest name of a check.
_WIDEST = len("api.tls_certificate")


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
    findings = []
    for finding in _found(roles, args.config, api):
        findings.append(finding)
        if not out.machine:
            print(_line(finding), flush=True)  # at once: the next check may take seconds
    if out.machine:
        out.show(findings, lambda _: [])
    wrong = sum(finding["verdict"] == "wrong" for finding in findings)
    if wrong:
        raise Failure("unavailable", f"{wrong} of {len(findings)} checks found something wrong.")


def _found(roles: set[str], config: Path | None, api: Client) -> Iterator[Finding]:
    yield from _daemons(roles & {"serve", "agent"}, config)
    if "client" in roles:
        yield from _locale()
        yield from _server(api)


def _line(finding: Finding) -> str:
    mend = f"  Try: {finding['mend']}" if finding["mend"] else ""
    return printable(f"{finding['verdict']:<7}  {finding['check']:<{_WIDEST}}  {finding['text']}{mend}")


def _daemons(roles: set[str], config: Path | None) -> Iterator[Finding]:
    """Loads what the daemons load, so only when they are asked about."""
    if not roles:
        return
    from dataclasses import asdict

    from pvc.doctor.main import examine

    yield from map(asdict, examine(roles, config))


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
        status = api.get("status")
    except Failure as exc:
        yield _finding("server", "wrong", str(exc), _mend(exc.code, here=api.url.startswith("unix:")))
        return
    version = status.get("pvc_version")
    if version == __version__:
        yield _finding("server", "ok", f'pvc serve {version} answers at "{api.url}".')
    else:
        text = f'pvc serve {version} answers at "{api.url}", and this is pvc {__version__}.'
        yield _finding("server", "warning", text, "apt-get install pvc")

    for reason in status.get("reasons", []):
        yield _finding("cluster", "warning", reason["text"], "pvc status --check")


def _mend(code: str, *, here: bool) -> str:
    if not here:
        return "pvc cluster list" if code in ("unreachable", "unauthenticated") else ""
    if code == "unreachable":
        return "systemctl enable --now pvc-server" if _has_systemd() else "pvc serve 2>pvc.log &"
    return "sudo pvc doctor" if code == "not_permitted" else "pvc doctor serve"


def _has_systemd() -> bool:
    return Path("/run/systemd/system").is_dir()


def _finding(check: str, verdict: str, text: str, mend: str = "") -> Finding:
    return {"check": check, "verdict": verdict, "text": text, "mend": mend}
