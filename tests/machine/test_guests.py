"""Guests outlive pvc, and what they do by themselves is seen and shown."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import guest
from tests.machine.conftest import Machine
from tests.machine.shell import Shell
from tests.parts.bridge import bridge
from tests.parts.libvirtd import Libvirtd
from tests.parts.serve import Serve

pytestmark = [pytest.mark.real, pytest.mark.timeout(300)]


@pytest.fixture
def names(machine: Machine) -> Iterator[list[str]]:
    """The VMs that a test makes; removed with their disks afterwards."""
    made: list[str] = []
    yield made
    for name in made:
        machine.shell.do("vm", "remove", name, "-y")


def is_tick(line: str) -> bool:
    return line.startswith("tick ")


def test_a_kill_9_of_pvc_serve_leaves_the_guest_running_and_the_next_start_adopts_it(
    machine: Machine, names: list[str]
) -> None:
    shell = machine.shell
    shell.make_vm("survivor", guest.build().qcow2)
    names.append("survivor")
    shell.do("vm", "start", "survivor")
    shell.hear("survivor", is_tick)
    before = machine.libvirtd.guests()["survivor"]
    machine.kill()
    assert machine.libvirtd.guests()["survivor"] == before
    machine.start()
    shown = shell.vm("survivor")
    assert (shown["state"], shown["node"]) == ("start", machine.node)
    shell.do("vm", "start", "survivor")
    assert machine.libvirtd.guests()["survivor"] == before
    shell.do("vm", "stop", "survivor")
    assert "survivor" not in machine.libvirtd.guests()


def test_a_guest_that_powers_itself_off_stays_off_and_is_shown_so(machine: Machine, names: list[str]) -> None:
    shell = machine.shell
    shell.make_vm("tired", guest.build(off=2).qcow2)
    names.append("tired")
    shell.do("vm", "start", "tired")
    shell.hear("tired", lambda line: "powering off" in line)
    shell.until(lambda: shell.vm("tired")["state"] == "stop", "vm")
    shown = shell.vm("tired")
    assert shown["failed_reason"] == "The guest powered itself off."
    machine.stop()
    machine.start()
    assert shell.vm("tired")["state"] == "stop"
    assert "tired" not in machine.libvirtd.guests()
    shell.do("vm", "start", "tired")
    assert "tired" in machine.libvirtd.guests()


def test_a_guest_that_crashes_is_started_again(machine: Machine, names: list[str]) -> None:
    shell = machine.shell
    shell.make_vm("fragile", guest.build().qcow2)
    names.append("fragile")
    shell.do("vm", "start", "fragile")
    shell.hear("fragile", is_tick)
    first = machine.libvirtd.guests()["fragile"]
    machine.libvirtd.kill_guest("fragile")
    with shell.following("fragile") as lines:
        boots = 0
        for line in lines:
            boots += line.startswith("tick 1 ")
            if boots == 2:
                break
    assert machine.libvirtd.guests()["fragile"] != first
    assert shell.vm("fragile")["state"] == "start"


def test_a_vm_that_cannot_start_is_fail_with_libvirts_reason_and_starts_once_it_is_mended(
    machine: Machine, names: list[str]
) -> None:
    shell = machine.shell
    nic = "<interface type='bridge'><source bridge='pvcnone0'/><model type='virtio'/></interface>"
    shell.do("network", "add", "7", "-d", "absent", "-b", "pvcnone0")
    shell.make_vm("cabled", guest.build().qcow2, more=nic)
    names.append("cabled")
    said = shell.run("vm", "start", "cabled")
    assert said.code == 7
    assert "pvcnone0" in said.err
    shown = shell.vm("cabled")
    assert shown["state"] == "fail"
    assert "pvcnone0" in shown["failed_reason"]
    with machine.libvirtd.place.network(), bridge("pvcnone0"):
        shell.do("vm", "start", "cabled")
        assert shell.vm("cabled")["state"] == "start"
        shell.do("vm", "stop", "cabled")


def test_a_guest_that_is_deaf_to_the_power_button_has_its_plug_pulled_at_the_deadline(
    machine: Machine, names: list[str]
) -> None:
    shell = machine.shell
    shell.make_vm("deaf", guest.build(deaf=1).qcow2)
    names.append("deaf")
    shell.do("vm", "start", "deaf")
    shell.hear("deaf", is_tick)
    assert "plug was pulled" in shell.do("vm", "shutdown", "deaf", "--timeout", "2")
    assert shell.vm("deaf")["state"] == "stop"
    assert "deaf" not in machine.libvirtd.guests()


def test_a_restart_boots_the_guest_anew_with_the_configuration_of_now(machine: Machine, names: list[str]) -> None:
    shell = machine.shell
    shell.make_vm("again", guest.build().qcow2)
    names.append("again")
    shell.do("vm", "start", "again")
    shell.hear("again", is_tick)
    shell.do("storage", "volume", "add", shell.pool, "again_more", "8M")
    shell.do("vm", "volume", "add", "again", f"{shell.pool}/again_more", "--no-live")
    shell.do("vm", "restart", "again")
    assert "vdb:8M" in shell.hear("again", lambda line: "vdb" in line)


def test_a_name_change_takes_its_volumes_along_and_the_guest_boots_from_them(
    machine: Machine, names: list[str]
) -> None:
    shell = machine.shell
    shell.make_vm("before", guest.build().qcow2)
    shell.do("vm", "rename", "before", "after")
    names.append("after")
    assert [one["name"] for one in shell.ask("storage", "volume", "list")] == ["after"]
    shell.do("vm", "start", "after")
    shell.hear("after", is_tick)


def test_a_snapshot_rolled_back_brings_the_old_content_back(machine: Machine, names: list[str]) -> None:
    shell = machine.shell
    shell.make_vm("timely", guest.build().qcow2)
    names.append("timely")
    shell.do("storage", "snapshot", "add", shell.pool, "timely", "good")
    shell.do("storage", "volume", "upload", shell.pool, "timely", str(guest.build(off=1).raw))
    shell.do("storage", "snapshot", "rollback", shell.pool, "timely", "good", "-y")
    shell.do("vm", "start", "timely")
    shell.hear("timely", lambda line: line.startswith("tick 3 "))
    assert shell.run("storage", "snapshot", "rollback", shell.pool, "timely", "good", "-y").code == 4
    shell.do("vm", "stop", "timely")
    shell.do("storage", "snapshot", "remove", shell.pool, "timely", "good", "-y")


def test_libvirtd_killed_under_a_running_agent_is_never_taken_for_no_guests(folder: Path) -> None:
    own = folder / "own"
    own.mkdir(mode=0o755)
    with Libvirtd() as libvirtd, Serve(own, libvirtd.uri, extra="interval_s = 1.0\n") as serve:
        shell = Shell(serve.url)
        shell.make_vm("calm", guest.build().qcow2)
        shell.do("vm", "start", "calm")
        shell.hear("calm", is_tick)
        before = libvirtd.guests()["calm"]
        libvirtd.kill()
        assert shell.run("vm", "start", "calm").code in (0, 5)  # it runs already, or libvirt's absence was seen by now
        assert shell.vm("calm")["state"] == "start"
        assert libvirtd.guests()["calm"] == before
        libvirtd.start()
        shell.until(lambda: not shell.ask("node", "list")[0]["problem"], "node")
        assert shell.vm("calm")["state"] == "start"
        assert libvirtd.guests()["calm"] == before
        shell.do("vm", "stop", "calm")
        assert libvirtd.guests() == {}


def test_no_libvirt_at_all_is_shown_and_a_start_is_refused_at_once(folder: Path) -> None:
    own = folder / "alone"
    own.mkdir(mode=0o755)
    with Serve(own, f"qemu+unix:///system?socket={own}/none") as serve:
        shell = Shell(serve.url)
        shell.until(lambda: bool(shell.ask("node", "list")[0]["problem"]), "node")
        assert "not available" in shell.ask("node", "list")[0]["problem"]
        shell.make_vm("waiting", guest.build().qcow2)
        said = shell.run("vm", "start", "waiting")
        assert said.code == 5
        assert said.err.count("\n") == 1
        assert shell.vm("waiting")["state"] == "stop"


def test_the_domain_type_is_found_out_and_can_be_forced(folder: Path, libvirtd: Libvirtd) -> None:
    own = folder / "forced"
    own.mkdir(mode=0o755)
    config = Serve(own, libvirtd.uri)
    config.config.write_text(config.config.read_text().replace("[hypervisor]", '[hypervisor]\ndomain_type = "kvm"'))
    with config as serve:
        shell = Shell(serve.url)
        for _ in range(100):
            if shell.ask("node", "list")[0]["domain_type"]:
                break
        assert shell.ask("node", "list")[0]["domain_type"] == "kvm"


def test_a_guest_starts_where_qemu_runs_as_debians_own_user_and_pvc_made_every_folder(folder: Path) -> None:
    own = folder / "debian"
    own.mkdir(mode=0o755)
    with Libvirtd(qemu_user="libvirt-qemu") as libvirtd:
        serve = Serve(own, libvirtd.uri)
        for place in ("pvc.db", "pool", "consoles", "pvc.sock"):
            text = serve.config.read_text()
            serve.config.write_text(text.replace(f'"{own}/{place}"', f'"{own}/made/{place}"'))
        with serve:
            shell = Shell(f"unix:{own}/made/pvc.sock")
            shell.make_vm("plain", guest.build().qcow2)
            shell.do("vm", "start", "plain")
            shell.hear("plain", is_tick)
            shell.do("vm", "remove", "plain", "-y")
    modes = {place: (own / "made" / place).stat().st_mode & 0o777 for place in ("", "pvc.db", "pool", "consoles")}
    assert modes == {"": 0o711, "pvc.db": 0o600, "pool": 0o711, "consoles": 0o711}


def test_everything_is_put_away_when_a_guest_is_removed_while_it_runs(machine: Machine) -> None:
    shell = machine.shell
    shell.make_vm("doomed", guest.build().qcow2)
    shell.do("vm", "start", "doomed")
    shell.do("vm", "remove", "doomed", "-y")
    assert "doomed" not in machine.libvirtd.guests()
    assert "doomed" not in [one["name"] for one in shell.ask("storage", "volume", "list")]
    virsh = subprocess.run(
        ["virsh", "-c", machine.libvirtd.uri, "list", "--all", "--name"], capture_output=True, text=True
    )
    assert "doomed" not in virsh.stdout
