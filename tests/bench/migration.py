"""Guests that go from node to node, in the tests' lab: through pvc, and by `virsh migrate --live` driven alike.

Both move the same guests; while virsh does, pvc's agents are not there.
"""

from __future__ import annotations

import statistics
import subprocess
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field

from pvc.config import Agent
from tests import guest
from tests.bench.api import API
from tests.bench.ground import Ground
from tests.bench.race import Contender, report
from tests.lab.guests import until
from tests.lab.invariants import running
from tests.lab.lab import Lab
from tests.lab.mending import until_well
from tests.parts.daemon import Daemon, at_once
from tests.parts.place import call

HOME, AWAY = "hv1", "hv2"
AT_ONCE = 4

DOMAIN = """\
<domain><name>{name}</name><memory unit='MiB'>{memory}</memory><vcpu>1</vcpu>
<os><type arch='x86_64' machine='q35'>hvm</type></os><features><acpi/></features>
<devices><disk type='volume' device='disk'><source pool='vms' volume='{name}'/><target dev='vda' bus='virtio'/></disk>
</devices></domain>"""


@dataclass(slots=True)
class Downtimes:
    """Milliseconds, as the target's libvirt has them."""

    virsh: list[int] = field(default_factory=list)
    pvc: list[int] = field(default_factory=list)

    def report(self) -> None:
        virsh, pvc = statistics.median(self.virsh), statistics.median(self.pvc)
        print(f"\nThe guest stood still (libvirt's own count), median of {len(self.virsh)} and of {len(self.pvc)}")
        print(f"  virsh migrate --live  {virsh:6.0f} ms    1.00 x  {self.virsh}")
        print(f"  pvc                   {pvc:6.0f} ms  {pvc / virsh:6.2f} x  {self.pvc}", flush=True)


def measure(on: Ground, memory: int, guests: int) -> None:
    """memory: MiB of each guest."""
    with Lab([str(on.program)], interval_s=Agent().interval_s) as lab:
        _one(lab, memory, on.rounds + 2)
        _many(lab, memory, guests, on.rounds)


def _one(lab: Lab, memory: int, rounds: int) -> None:
    [uuid] = _boot(lab, ["bench"], memory)
    for node in [name for name in lab.nodes if name != HOME]:  # pvc gives its libvirt the key of Ceph
        lab.shell.do("vm", "migrate", "bench", "-t", node)
        lab.shell.do("vm", "unmigrate", "bench")
    _rest(lab, {uuid: HOME})
    api = API(lab.servers[0].host.folder / "pvc.sock")
    asked = {"action": "migrate", "node": AWAY, "force_live": "true", "wait": "true"}
    virsh = Contender("virsh migrate --live", lambda: _virsh_moves(lab, {uuid: AWAY}))
    by_pvc = [
        Contender("pvc, POST /vm/VM/node", lambda: api.ask("POST", "/vm/bench/node", **asked)),
        Contender("pvc vm migrate", lambda: lab.shell.do("vm", "migrate", "bench", "-t", AWAY, "--force-live")),
    ]
    still = Downtimes()
    for number in range(rounds):
        for contender in _in_turn([virsh, *by_pvc], number):
            if contender is virsh:
                with _without_agents(lab):
                    _time(contender)
                    still.virsh.append(_downtime(lab, AWAY, uuid))
                    _virsh_moves(lab, {uuid: HOME}, AWAY)
            else:
                _time(contender)
                still.pvc.append(_downtime(lab, AWAY, uuid))
                lab.shell.do("vm", "unmigrate", "bench", "--force-live")
                _rest(lab, {uuid: HOME})
    report(f"An idle guest of {memory} MiB moved live", [virsh, *by_pvc])
    still.report()
    _remove(lab, ["bench"])


def _in_turn(contenders: list[Contender], number: int) -> list[Contender]:
    """Who begins changes from round to round."""
    first = number % len(contenders)
    return [*contenders[first:], *contenders[:first]]


def _many(lab: Lab, memory: int, guests: int, rounds: int) -> None:
    names = [f"idle{number}" for number in range(guests)]
    uuids = _boot(lab, names, memory)
    plan = {move["uuid"]: str(move["node"]) for move in lab.shell.ask("node", "flush", HOME, "--plan")["moves"]}
    if set(plan) != set(uuids):
        raise RuntimeError("Not all guests have room elsewhere.")
    virsh = Contender(f"virsh migrate --live, {AT_ONCE} at once", lambda: _virsh_moves(lab, plan))
    pvc = Contender("pvc node flush", lambda: lab.shell.do("node", "flush", HOME))
    for number in range(rounds):
        for contender in _in_turn([virsh, pvc], number):
            if contender is virsh:
                with _without_agents(lab):
                    _time(contender)
                    for uuid, node in plan.items():
                        _virsh_moves(lab, {uuid: HOME}, node)
            else:
                _time(contender)
                lab.shell.do("node", "ready", HOME)
                _rest(lab, dict.fromkeys(plan, HOME))
    report(f"{guests} idle guests of {memory} MiB, {AT_ONCE} at a time, to the same nodes", [virsh, pvc])
    _remove(lab, names)


def _time(contender: Contender) -> None:
    began = time.perf_counter()
    contender.run()
    contender.seconds.append(time.perf_counter() - began)


def _boot(lab: Lab, names: list[str], memory: int) -> list[str]:
    """Ticking guests on HOME; their UUIDs."""
    for name in names:
        image = guest.build().raw
        lab.shell.do("storage", "volume", "add", "vms", name, "48M")
        lab.shell.do("storage", "volume", "upload", "vms", name, str(image), "-f", "raw")
        lab.shell.define(DOMAIN.format(name=name, memory=memory), node=HOME)
        lab.shell.do("vm", "start", name)
        lab.shell.hear(name, lambda line: line.startswith("tick "))
    return [str(lab.shell.vm(name)["uuid"]) for name in names]


def _remove(lab: Lab, names: list[str]) -> None:
    for name in names:
        lab.shell.do("vm", "stop", name)
        lab.shell.do("vm", "remove", name, "-y")


@contextmanager
def _without_agents(lab: Lab) -> Iterator[None]:
    agents = [node.agent for node in lab.nodes.values()]
    at_once(Daemon.stop, agents)
    yield
    at_once(Daemon.start, agents)
    until_well(lab)


def _virsh_moves(lab: Lab, targets: Mapping[str, str], source: str = HOME) -> None:
    """AT_ONCE at a time."""

    def move(uuid: str) -> None:
        address = lab.nodes[targets[uuid]].host.address
        to = [f"qemu+tcp://{address}/system", "--migrateuri", f"tcp://{address}"]  # no host knows another's name
        host = lab.nodes[source].host
        call(host, ["virsh", "-q", "migrate", "--live", uuid, *to], host.folder / f"virsh-{uuid}.log")

    with ThreadPoolExecutor(AT_ONCE) as threads:
        list(threads.map(move, targets))


def _downtime(lab: Lab, node: str, uuid: str) -> int:
    words = ["virsh", "-c", lab.nodes[node].libvirtd.uri, "domjobinfo", uuid, "--completed", "--keep-completed"]
    said = subprocess.run(words, check=True, capture_output=True, text=True).stdout
    [line] = [line for line in said.splitlines() if line.startswith("Total downtime:")]
    return int(line.split()[2])


def _rest(lab: Lab, where: Mapping[str, str]) -> None:
    """libvirt removes what is left a moment after the guest has gone."""
    until(lambda: running(lab) == {uuid: [node] for uuid, node in where.items()})
