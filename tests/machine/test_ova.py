"""A machine that comes as an OVA runs as a VM."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests import guest
from tests.machine.conftest import Machine
from tests.parts.ova import VMDK, archive, described, manifest, member

pytestmark = [pytest.mark.real, pytest.mark.timeout(300)]


@pytest.fixture
def appliance(tmp_path: Path) -> Path:
    """The guest's disk as VMware would ship it."""
    raw, vmdk, ova = guest.build().raw, tmp_path / "guest.vmdk", tmp_path / "guest.ova"
    convert = ["qemu-img", "convert", "-f", "raw", "-O", "vmdk", "-o", "subformat=streamOptimized"]
    subprocess.run([*convert, str(raw), str(vmdk)], check=True)
    text, disk = described(("guest.vmdk", VMDK), capacity=raw.stat().st_size), vmdk.read_bytes()
    sums = manifest(x__ovf=text, guest__vmdk=disk)
    ova.write_bytes(archive(member("x.ovf", text), member("x.mf", sums), member("guest.vmdk", disk)))
    return ova


def test_a_vm_made_of_an_ova_boots_from_its_disk_and_outlives_it(machine: Machine, appliance: Path) -> None:
    shell = machine.shell
    said = shell.do("provisioner", "ova", "upload", "appliance", str(appliance), "-p", shell.pool)
    assert "every file is as its manifest says" in said
    assert machine.content("ova_appliance_vda") == guest.build().raw.read_bytes()
    placed = ["--node", shell.node] if shell.node else []
    shell.do("provisioner", "ova", "define", "shipped", "appliance", *placed)
    shell.do("provisioner", "ova", "remove", "appliance", "-y")
    shell.do("vm", "start", "shipped")
    shell.hear("shipped", lambda line: line.startswith("tick "))
    shell.do("vm", "remove", "shipped", "-y")
    assert machine.leftovers() == []
