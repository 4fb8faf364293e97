"""One machine of a lab: network, mounts and host name of its own, on a cable to the lab's switch."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from tests.lab.enclosure import Enclosure, Inside
from tests.parts.place import call

SWITCH = "switch"

# Run by the process that holds the namespaces. When all is set up it stops itself, which is how others know.
_SET_UP = """\
set -e
hostname "$1"
mount -t sysfs none /sys  # shows the network of whoever mounts it
ip link set lo up
ip link add eth0 type veth peer name "$1" netns 1
ip address add "$2/24" dev eth0
ip link set eth0 up
nsenter --target 1 --net ip link set "$1" master "$3" up
shift 3
for bridge; do ip link add "$bridge" type bridge; ip link set "$bridge" up; done
while :; do kill -STOP $$; done
"""
_HOLD = ("unshare", "--net", "--mount", "--uts", "--propagation", "slave", "sh", "-c", _SET_UP, "host")


def add_switch(enclosure: Enclosure) -> None:
    log = enclosure.folder / "switch.log"
    for words in ("link set lo up", f"link add {SWITCH} type bridge", f"link set {SWITCH} up"):
        call(enclosure, ["ip", *words.split()], log)


class Host:
    """A place (see tests/parts/place.py). bridges: for guests' NICs, without any address."""

    def __init__(self, enclosure: Enclosure, name: str, address: str, bridges: Sequence[str] = ()) -> None:
        self.name, self.address, self._enclosure = name, address, enclosure
        self.folder = enclosure.folder / name
        self.folder.mkdir()
        log = self.folder / "host.log"
        self.holder: Inside = enclosure.start([*_HOLD, name, address, SWITCH, *bridges], log)
        try:
            self.holder.until_stopped()
        except ProcessLookupError as exc:
            exc.add_note(log.read_text())
            raise

    def start(self, command: Sequence[str], log: Path, environment: Mapping[str, str] | None = None) -> Inside:
        entered = ["nsenter", "--target", str(self.holder.there), "--net", "--mount", "--uts", "--"]
        return self._enclosure.start([*entered, *command], log, environment)

    def pid(self, there: int) -> int:
        return self._enclosure.pid(there)

    def network(self) -> AbstractContextManager[None]:
        return self.holder.network()

    def cut(self) -> None:
        """Pull its network cable; what goes through files (unix sockets) still works."""
        self._plug("down")

    def mend(self) -> None:
        self._plug("up")

    def _plug(self, way: str) -> None:
        with self._enclosure.network():
            subprocess.run(["ip", "link", "set", self.name, way], check=True, capture_output=True)
