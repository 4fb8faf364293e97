"""Devices of a running guest, with the guest's own console as the witness."""

from __future__ import annotations

import os
import random
import re
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
from lxml import etree

from pvc.cli.client import Client
from pvc.cli.failure import Failure
from pvc.model import domain
from tests import guest
from tests.machine.conftest import Machine
from tests.machine.shell import Shell
from tests.parts.bridge import bridge
from tests.parts.libvirtd import Libvirtd
from tests.parts.serve import Serve

pytestmark = [pytest.mark.real, pytest.mark.timeout(300)]

MACS = ["52:54:00:00:0a:01", "52:54:00:00:0a:02", "52:54:00:00:0a:03"]
BRIDGES = [f"pvc{number}x{os.getpid()}" for number in (1, 2, 3)]


@dataclass(frozen=True, slots=True)
class View:
    """What somebody says a VM has. disks: device names."""

    disks: frozenset[str]
    macs: frozenset[str]


def said(line: str) -> View:
    """What the guest sees, by a line of its console."""
    return View(frozenset(re.findall(r"(vd[a-z]+):", line)), frozenset(re.findall(r":((?:[0-9a-f]{2}:){5}..)", line)))


def configured(shell: Shell, name: str) -> View:
    vm = shell.vm(name)
    return View(frozenset(one["dev"] for one in vm["disks"]), frozenset(one["mac"] for one in vm["networks"]))


def running(libvirtd: Libvirtd, name: str) -> domain.Element:
    words = ["virsh", "-c", libvirtd.uri, "dumpxml", name]
    return etree.fromstring(subprocess.run(words, check=True, capture_output=True).stdout)


def live(libvirtd: Libvirtd, name: str) -> View:
    root = running(libvirtd, name)
    return View(frozenset(d.dev for d in domain.disks(root)), frozenset(n.mac for n in domain.nics(root)))


def seen(shell: Shell, name: str, expected: View) -> None:
    """Return when the guest sees what is expected, in a line that it writes from now on."""
    with shell.following(name, past=0) as lines:
        for line in lines:
            if line.startswith("tick ") and said(line) == expected:
                return
    raise AssertionError(f'The guest of "{name}" never saw {expected}.')


@pytest.fixture
def lans(machine: Machine) -> Iterator[None]:
    """Three bridges and three networks."""
    with machine.libvirtd.place.network(), ExitStack() as bridges:
        for number, name in enumerate(BRIDGES, 1):
            bridges.enter_context(bridge(name))
            machine.shell.do("network", "add", str(number), "-d", f"lan{number}", "-b", name)
        yield
        for number in (1, 2, 3):
            machine.shell.do("network", "remove", str(number), "-y")


def plug_everything(shell: Shell, name: str) -> None:
    """Three NICs and three disks besides the one it boots from."""
    for number in (1, 2, 3):
        shell.do("storage", "volume", "add", shell.pool, f"{name}_{number}", f"{8 * number}M")
        shell.do("vm", "volume", "add", name, f"{shell.pool}/{name}_{number}")
        shell.do("vm", "network", "add", name, f"lan{number}", "-a", MACS[number - 1])


def test_each_nic_and_disk_is_removed_by_its_name_and_no_other_with_it(machine: Machine, lans: None) -> None:
    shell, name = machine.shell, "plugged"
    shell.make_vm(name, guest.build().qcow2)
    shell.do("vm", "start", name)
    shell.hear(name, lambda line: line.startswith("tick "))
    plug_everything(shell, name)
    disks, macs = {"vda", "vdb", "vdc", "vdd"}, set(MACS)
    seen(shell, name, View(frozenset(disks), frozenset(macs)))
    for words, gone in (
        (("network", "remove", name, "-a", MACS[1]), MACS[1]),
        (("volume", "remove", name, f"{shell.pool}/{name}_2"), "vdc"),
        (("network", "remove", name, "1"), MACS[0]),
        (("volume", "remove", name, f"{shell.pool}/{name}_1"), "vdb"),
        (("network", "remove", name, "lan3", "-a", MACS[2]), MACS[2]),
        (("volume", "remove", name, f"{shell.pool}/{name}_3"), "vdd"),
    ):
        shell.do("vm", *words)
        disks -= {gone}
        macs -= {gone}
        left = View(frozenset(disks), frozenset(macs))
        assert live(machine.libvirtd, name) == configured(shell, name) == left
        seen(shell, name, left)
    shell.do("vm", "remove", name, "-y")
    for number in (1, 2, 3):
        shell.do("storage", "volume", "remove", shell.pool, f"{name}_{number}", "-y")


def test_a_volume_that_grows_is_larger_in_the_running_guest(machine: Machine) -> None:
    shell, name = machine.shell, "growing"
    shell.make_vm(name, guest.build().qcow2)
    shell.do("storage", "volume", "add", shell.pool, "growing_data", "8M")
    shell.do("vm", "start", name)
    shell.do("vm", "volume", "add", name, f"{shell.pool}/growing_data")
    shell.hear(name, lambda line: "vdb:8M" in line)
    assert shell.do("storage", "volume", "resize", shell.pool, "growing_data", "24M")
    shell.hear(name, lambda line: "vdb:24M" in line)
    [volume] = shell.ask("storage", "volume", "list", "growing_data")
    assert volume["stats"]["size"] == "24M"
    assert shell.run("storage", "volume", "resize", shell.pool, "growing_data", "8M", "--force").code == 4
    shell.hear(name, lambda line: "vdb:24M" in line)
    shell.do("vm", "remove", name, "-y")


def test_cpus_and_memory_are_the_guests_after_the_restart_that_comes_with_them(machine: Machine) -> None:
    shell, name = machine.shell, "sized"
    shell.make_vm(name, guest.build().qcow2)
    shell.do("vm", "start", name)
    before = size(shell.hear(name, lambda line: line.startswith("boot ")))
    shell.hear(name, lambda line: line.startswith("tick "))
    assert shell.run("vm", "vcpu", "set", name, "10000", "--restart").code == 4
    assert shell.run("vm", "memory", "set", name, "900T", "--restart").code == 4
    shell.do("vm", "memory", "set", name, "192M")
    shell.do("vm", "vcpu", "set", name, "2", "--topology", "1/2/1", "--restart")
    cpus, memory = size(shell.hear(name, lambda line: line.startswith("boot ") and size(line) != before))
    assert (before[0], cpus) == (1, 2)
    assert 48 <= memory - before[1] <= 64  # of 64 MiB more, what the kernel keeps for itself is not counted
    shell.do("vm", "remove", name, "-y")


def size(line: str) -> tuple[int, int]:
    """CPUs and MiB of memory, by a line of the guest's console."""
    found = re.search(r"cpus=(\d+) memory=(\d+)M", line)
    assert found is not None
    return int(found[1]), int(found[2])


def test_a_device_of_a_configured_kind_comes_and_goes_by_its_alias(folder: Path, libvirtd: Libvirtd) -> None:
    own, name = folder / "more", "more"
    own.mkdir(mode=0o755)
    serve = Serve(own, libvirtd.uri)
    more = '[hypervisor]\nmore_devices = ["rng"]\n'
    serve.config.write_text(serve.config.read_text().replace("[hypervisor]\n", more))
    with serve:
        shell, api = Shell(serve.url), Client(serve.url)
        shell.make_vm(name, guest.build().qcow2)
        shell.do("vm", "start", name)
        shell.hear(name, lambda line: line.startswith("tick "))
        for alias in ("ua-first", "ua-second"):
            api.post("vm", name, "device", xml=RNG.format(alias=alias))
        assert rngs(libvirtd, name) == ["ua-first", "ua-second"]
        api.delete("vm", name, "device", xml=RNG.format(alias="ua-first"))
        assert rngs(libvirtd, name) == ["ua-second"]
        assert "ua-second" in shell.vm(name)["xml"]
        assert "ua-first" not in shell.vm(name)["xml"]
        shell.do("vm", "remove", name, "-y")


RNG = "<rng model='virtio'><backend model='random'>/dev/urandom</backend><alias name='{alias}'/></rng>"


def rngs(libvirtd: Libvirtd, name: str) -> list[str]:
    return [domain.name_of(node) for node in running(libvirtd, name).iterfind("devices/rng")]


ROUNDS, SEED = 40, 4
# Within this time after a request is sent the kill comes: from before it is read until after it is done.
LATEST_KILL_S = 0.15


def test_forty_rounds_under_a_random_kill_leave_configuration_libvirt_and_guest_equal(
    folder: Path, libvirtd: Libvirtd
) -> None:
    own, name = folder / "rounds", "rounds"
    own.mkdir(mode=0o755)
    chance = random.Random(SEED)
    with bridge(BRIDGES[0]), Serve(own, libvirtd.uri, extra="interval_s = 1.0\n") as serve:
        shell = Shell(serve.url)
        shell.make_vm(name, guest.build().qcow2)
        shell.do("network", "add", "4", "-d", "lan4", "-b", BRIDGES[0])
        shell.do("storage", "volume", "add", shell.pool, "data", "8M")
        shell.do("vm", "start", name)
        shell.hear(name, lambda line: line.startswith("tick "))
        outcomes = []
        for number in range(ROUNDS):
            killed = chance.choice([attach, detach])
            noun, what = chance.choice(
                [("volume", {"volume": "local/data"}), ("network", {"net": "4", "mac": MACS[0]})]
            )
            for change in (attach, detach):
                when_s = chance.uniform(0, LATEST_KILL_S) if change is killed else None
                outcome = under_fire(serve, lambda: change(Client(serve.url), name, noun, what), when_s)  # noqa: B023
                outcomes.append(outcome)
                wait_for_tasks(shell, name)
                assert live(libvirtd, name) == configured(shell, name), f"round {number}: {noun}, {outcome}"
            if number % 8 == 7:
                seen(shell, name, configured(shell, name))
        assert {"done", "unreachable"} <= set(outcomes)  # some requests went well, others were cut off
        shell.do("vm", "remove", name, "-y")


def attach(api: Client, name: str, noun: str, what: dict[str, str]) -> None:
    api.post("vm", name, noun, **what)


def detach(api: Client, name: str, noun: str, what: dict[str, str]) -> None:
    api.delete("vm", name, noun, **what)


def under_fire(serve: Serve, ask: Callable[[], None], kill_after_s: float | None) -> str:
    """Send a request, and kill `pvc serve` meanwhile when that is wished; returns what came of it, as a code."""
    with ThreadPoolExecutor(1) as thread:
        outcome = thread.submit(outcome_of, ask)
        if kill_after_s is not None:
            time.sleep(kill_after_s)  # not to wait for something, but to meet it at any moment
            serve.kill()
            serve.start()
        # A round that was cut off leaves nothing to detach, or what is attached already.
        assert outcome.result() in ("done", "not_found", "conflict", "in_use", "unreachable")
        return outcome.result()


def outcome_of(ask: Callable[[], None]) -> str:
    try:
        ask()
    except Failure as exc:
        return exc.code
    return "done"


def wait_for_tasks(shell: Shell, name: str) -> None:
    while task := shell.vm(name)["task"]:
        shell.run("task", "wait", task)
