"""CPUs and memory of a VM's XML, changed wherever they stand."""

from __future__ import annotations

import pytest

from pvc.errors import Conflict
from pvc.model import domain, sizing
from tests.parts import documents

TOPOLOGY = "<cpu mode='host-model'><topology sockets='1' dies='1' cores='2' threads='2'/></cpu>"


def test_cpus_are_set_and_a_topology_that_no_longer_fits_goes() -> None:
    text = sizing.with_vcpu(documents.vm(more=TOPOLOGY), 3, None)
    found = domain.describe(text)
    assert (found.vcpu, found.topology) == (3, "N/A")
    assert "host-model" in text


def test_a_topology_that_fits_stays() -> None:
    found = domain.describe(sizing.with_vcpu(documents.vm(more=TOPOLOGY), 4, None))
    assert (found.vcpu, found.topology) == (4, "1/2/2")


@pytest.mark.parametrize("more", ["", TOPOLOGY])
def test_a_topology_is_set(more: str) -> None:
    text = sizing.with_vcpu(documents.vm(more=more), 6, sizing.parse_topology("1/3/2", 6))
    found = domain.describe(text)
    assert (found.vcpu, found.topology) == (6, "1/3/2")
    assert text.count("<topology") == 1


def test_cpus_that_are_off_at_first_are_no_more() -> None:
    text = documents.vm().replace("<vcpu>", "<vcpu current='1' placement='static'>")
    assert "current" not in sizing.with_vcpu(text, 2, None)


@pytest.mark.parametrize(
    "wrong", ["", "2", "1/2", "0/2/1", "-1/-2/1", "1/2/1/1", " 1/2/1", "1/1/1", "2/2/1", "1/\u0662/1"]
)
def test_a_topology_that_is_not_one_of_so_many_cpus_is_refused(wrong: str) -> None:
    with pytest.raises(ValueError, match=r"must (be written as|multiply to 2)"):
        sizing.parse_topology(wrong, 2)


@pytest.mark.parametrize("unit", ["unit='KiB'", "unit='GiB'", ""])
def test_memory_is_set_whatever_its_unit_was(unit: str) -> None:
    text = documents.vm(more="<currentMemory>65536</currentMemory>").replace("unit='MiB'", unit)
    text = sizing.with_memory(text, 768)
    assert domain.describe(text).memory == 768
    assert "currentMemory" not in text


@pytest.mark.parametrize("more", ["<vcpus><vcpu id='0' enabled='yes'/></vcpus>", "<cpu><numa/></cpu>"])
def test_cpus_that_are_dealt_out_one_by_one_are_left_alone(more: str) -> None:
    with pytest.raises(Conflict, match="change its XML as a whole"):
        sizing.with_vcpu(documents.vm(more=more), 2, None)


@pytest.mark.parametrize("more", ["<maxMemory slots='2'>1048576</maxMemory>", "<cpu><numa/></cpu>"])
def test_memory_that_is_dealt_out_in_parts_is_left_alone(more: str) -> None:
    with pytest.raises(Conflict, match="change its XML as a whole"):
        sizing.with_memory(documents.vm(more=more), 512)
