"""Which type guests get here, and what is said of it."""

from __future__ import annotations

import pytest

from pvc.hypervisor.domaintype import caveat, choose_domain_type


@pytest.mark.parametrize(
    ("wanted", "offered", "flags", "chosen"),
    [
        ("auto", {"kvm", "qemu"}, "fpu vmx sse", "kvm"),
        ("auto", {"kvm", "qemu"}, "fpu svm", "kvm"),
        ("auto", {"kvm", "qemu"}, "fpu sse", "qemu"),
        ("auto", {"qemu"}, "fpu vmx", "qemu"),
        ("kvm", {"qemu"}, "fpu", "kvm"),
        ("qemu", {"kvm", "qemu"}, "vmx", "qemu"),
    ],
)
def test_kvm_is_taken_where_cpu_and_libvirt_have_it(wanted: str, offered: set[str], flags: str, chosen: str) -> None:
    assert choose_domain_type(wanted, offered, f"processor : 0\nflags\t\t: {flags}\n")[0] == chosen


def test_emulated_guests_of_an_old_qemu_come_with_a_warning() -> None:
    assert "before 9.0" in caveat("qemu", 7_002_022)
    assert caveat("qemu", 9_000_000) == caveat("kvm", 7_002_022) == ""
