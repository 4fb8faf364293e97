"""`make lab` and `make lab-down`: the cluster for a person at a shell."""

from __future__ import annotations

import argparse
import shlex
import signal
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from types import FrameType

from tests.lab import enclosure
from tests.lab.lab import BRIDGES, Lab

LINK = Path(__file__).parents[2] / "build" / "lab"

ENTER = """\
#!/bin/sh
# Run a command, by default a shell, on a machine of the lab; "switch" is what their network cables end in.
[ $# -gt 0 ] || {{ echo "{names}"; exit 2; }}
case "$1" in
{cases}
*) echo "There is no machine \\"$1\\", only: {names}" >&2; exit 3 ;;
esac
shift
[ $# -gt 0 ] || set -- bash
export CEPH_CONF={conf}
exec nsenter --target "$pid" --pid --net --mount --uts -- "$@"
"""

UP = """
The cluster is up ({took:.0f} s): three nodes, two servers, three ZooKeeper servers and Ceph, all of it in {folder}.

  export PVC_URL={url}
  {pvc} node list

The other server is {other}. Storage pool: vms. Bridges for networks: {bridges}.

  {link}/enter hv1                          a shell on node hv1 (virsh works there); also: {names}
  {link}/enter switch ip link set hv1 down  pulls its network cable; "up" plugs it in
  {link}/enter ceph ceph status

Logs: {link}/*/*.log. libvirt from outside:
{uris}
`make lab-down` ends it and removes everything.
"""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.lab", description=__doc__)
    parser.add_argument("act", choices=("up", "down"))
    parser.add_argument("--link", type=Path, default=LINK, help="to the lab's folder; default: %(default)s")
    parser.add_argument("--pvc", type=Path, help="the pvc to run; default: that of this source")
    asked = parser.parse_args()
    if asked.act == "down":
        return down(asked.link)
    signal.signal(signal.SIGTERM, _interrupt)
    return up(asked.link, [str(asked.pvc.absolute())] if asked.pvc else [sys.executable, "-m", "pvc"])


def up(link: Path, program: Sequence[str]) -> int:
    if link.exists():
        print(f"A lab is up already, {link.resolve()}; `make lab-down` ends it.", file=sys.stderr)
        return 1
    began = time.monotonic()
    with ExitStack() as stack:
        lab = Lab(program)
        stack.callback(lab.close)
        _point(link, lab.folder)
        print(f"Bringing up a cluster in {lab.folder}; this takes less than a minute.", flush=True)
        lab.start()
        _write_enter(lab)
        lab.enclosure.keep()
        stack.pop_all()
    print(_how_to_use(lab, link, program, time.monotonic() - began))
    return 0


def down(link: Path) -> int:
    if not link.is_symlink():
        print("There is no lab.")
        return 0
    enclosure.end(link.readlink())
    link.unlink()
    return 0


def _point(link: Path, folder: Path) -> None:
    link.parent.mkdir(exist_ok=True)
    link.unlink(missing_ok=True)  # of a lab that was killed
    link.symlink_to(folder)


def _write_enter(lab: Lab) -> None:
    pids = {"switch": lab.enclosure.pid(1)} | {host.name: host.holder.pid for host in lab.hosts.values()}
    cases = "\n".join(f"{name}) pid={pid} ;;" for name, pid in pids.items())
    script = lab.folder / "enter"
    script.write_text(ENTER.format(conf=lab.ceph.conf, names=" ".join(pids), cases=cases))
    script.chmod(0o755)


def _how_to_use(lab: Lab, link: Path, program: Sequence[str], took: float) -> str:
    first, second = lab.servers
    return UP.format(
        took=took,
        folder=lab.folder,
        link=_short(link),
        url=first.url,
        other=second.url,
        pvc=shlex.join(program),
        bridges=", ".join(BRIDGES),
        names=" ".join(lab.hosts),
        uris="\n".join(f"  virsh -c {node.libvirtd.uri}" for node in lab.nodes.values()),
    )


def _short(path: Path) -> Path:
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        print("Interrupted; everything is removed again.", file=sys.stderr)
        sys.exit(130)
