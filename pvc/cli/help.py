"""What `pvc --help` and `pvc GROUP --help` print."""

from __future__ import annotations

from collections.abc import Iterator

from pvc.cli.registry import COMMANDS, GROUPS, load

_EXITS = """\
Exit codes:
  0 done                    4 conflict, busy, in use, too large or full
  1 a bug in pvc            5 server, or a part that it needs, not reached in time
  2 wrong usage or input    6 no valid token, or not permitted
  3 not found               7 refused by hypervisor or Ceph, or image not converted
                            8 you said no, or the task was cancelled
                            9 something is wrong (status --check)"""


def group_help(group: str) -> str:
    """Return the help of a group of commands, of everything for ""."""
    return "\n".join(_of_all() if not group else _of_group(group))


def _of_all() -> Iterator[str]:
    yield "usage: pvc [-c CLUSTER] COMMAND ..."
    yield ""
    yield "A virtual-machine cluster in one executable."
    yield ""
    yield "Commands:"
    yield from _listed(_top_level())
    yield ""
    yield "Daemons:"
    yield from _listed({"serve": "the HTTP API; alone on a machine also its agent", "agent": "runs this machine's VMs"})
    yield ""
    yield "Options: -c CLUSTER, --format FORM, --token-file FILE and --ca FILE may also stand here;"
    yield '         see "pvc status --help".'
    yield "         --version"
    yield ""
    yield _EXITS


def _of_group(group: str) -> Iterator[str]:
    yield f"usage: pvc {group} COMMAND ..."
    yield ""
    yield f"{GROUPS[group][:1].upper()}{GROUPS[group][1:]}."
    yield ""
    inside = [name for name in COMMANDS if name.startswith(f"{group} ")]
    yield from _listed({name.removeprefix(f"{group} "): load(name).HELP for name in inside})
    yield ""
    yield f'See "pvc {group} COMMAND --help" for the arguments of one.'


def _top_level() -> dict[str, str]:
    groups = {name: text for name, text in GROUPS.items() if " " not in name}
    alone = {name: load(name).HELP for name in COMMANDS if " " not in name}
    return {"status": alone.pop("status"), **groups, **alone}


def _listed(entries: dict[str, str]) -> Iterator[str]:
    longest = max(map(len, entries))
    for name, text in entries.items():
        yield f"  {name:<{longest}}  {text}"
