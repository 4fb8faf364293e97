"""Where a guest's memory goes, of the address at which the other libvirt is reached."""

from __future__ import annotations

import pytest

from pvc.hypervisor.base import data_address


@pytest.mark.parametrize(
    ("uri", "address"),
    [
        ("qemu+tls://10.0.0.11/system", "tcp://10.0.0.11"),
        ("qemu+tls://10.0.0.11:16514/system?pkipath=/etc/pki/x", "tcp://10.0.0.11"),
        ("qemu+tcp://hv2.example/system", "tcp://hv2.example"),
        ("qemu+ssh://root@hv2/system", "tcp://hv2"),
        ("qemu+tls://[fd00::2]/system", "tcp://[fd00::2]"),
        ("qemu+tls://[fd00::2]:16514/system", "tcp://[fd00::2]"),
        ("qemu:///system", ""),
        ("qemu+unix:///system?socket=/run/x", ""),
        ("qemu+tls://[fd00::2/system", ""),
    ],
)
def test_the_memory_goes_where_libvirt_is_reached(uri: str, address: str) -> None:
    assert data_address(uri) == address
