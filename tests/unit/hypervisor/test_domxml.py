"""Disks in Ceph, as libvirt is told of them."""

from __future__ import annotations

import pytest

from pvc.hypervisor import domxml
from pvc.model import domain
from pvc.storage.base import RBDSource, Secret

SECRET = "0b6dbf0e-6c0c-5f0b-9d3a-6f6f0a2f9d11"
SOURCE = RBDSource("vms", "disk0", (("10.0.0.1", 6789), ("fd00::1", 3300)), "pvc", SECRET)
OURS = (
    """<disk type='volume' device='disk'><source pool='ceph' volume='disk0'/><target dev='vda' bus='virtio'/></disk>"""
)
THEIRS = """<disk type='network' device='disk'><auth username='other'><secret type='ceph' uuid='x'/></auth>
            <source protocol='rbd' name='ceph/disk0'><host name='old' port='1'/></source>
            <target dev='vda' bus='virtio'/></disk>"""


@pytest.mark.parametrize("text", [OURS, THEIRS])
def test_a_disk_in_ceph_names_the_image_its_monitors_and_where_the_key_is(text: str) -> None:
    node = domain.parse_device(domxml.finished_device(text, {"ceph/disk0": SOURCE}.__getitem__))
    source, driver = node.find("source"), node.find("driver")
    assert source is not None and driver is not None
    assert (node.get("type"), source.get("protocol"), source.get("name")) == ("network", "rbd", "vms/disk0")
    assert [(host.get("name"), host.get("port")) for host in source.iterfind("host")] == [
        ("10.0.0.1", "6789"),
        ("fd00::1", "3300"),
    ]
    assert [auth.get("username") for auth in node.iterfind(".//auth")] == ["pvc"]
    assert [secret.get("uuid") for secret in node.iterfind("source/auth/secret")] == [SECRET]
    assert driver.get("type") == "raw"


def test_the_running_disk_is_known_for_the_same_volume() -> None:
    live = domxml.finished_device(OURS, lambda _: SOURCE)
    assert domain.same_source(live, domxml.finished_device(THEIRS, lambda _: SOURCE))
    other = RBDSource("vms", "disk1", SOURCE.monitors, "pvc", SECRET)
    assert not domain.same_source(live, domxml.finished_device(OURS, lambda _: other))


def test_a_live_document_says_under_which_name_the_guest_has_a_volume_in_ceph() -> None:
    live = f"<domain><devices>{domxml.finished_device(OURS, lambda _: SOURCE)}</devices></domain>"
    assert domxml.dev_of(live, SOURCE) == "vda"
    assert domxml.dev_of(live, RBDSource("vms", "disk1", SOURCE.monitors, "pvc", SECRET)) is None


def test_a_secret_is_described_without_its_value() -> None:
    secret = Secret(SECRET, "client.pvc of Ceph x", b"the key itself")
    assert "the key itself" not in domxml.secret(secret) + repr(secret)
    assert 'private="yes"' in domxml.secret(secret).replace("'", '"')


LIVE = """<domain><devices>
  <controller type='pci' index='0' model='pcie-root'/>
  <controller type='pci' index='1' model='pcie-root-port'/>
  <controller type='pci' index='2' model='pcie-root-port'/>
  <interface type='bridge'><mac address='52:54:00:AA:00:01'/><target dev='vnet7'/>
    <address type='pci' bus='0x01'/></interface>
  <interface type='bridge'><mac address='52:54:00:aa:00:02'/></interface>
  <console type='pty'/>
  {screen}</devices></domain>"""


def test_a_live_document_tells_free_slots_screen_and_whose_name_is_whose() -> None:
    found = domxml.live(LIVE.format(screen="<graphics type='vnc' port='5907' autoport='yes' listen='127.0.0.1'/>"))
    assert (found.free_slots, found.console, found.vnc) == (1, "pty", ("127.0.0.1", "5907"))
    assert found.macs == {"vnet7": "52:54:00:aa:00:01"}


@pytest.mark.parametrize("screen", ["", "<graphics type='spice' port='5900'/>"])
def test_a_guest_without_vnc_has_none(screen: str) -> None:
    assert domxml.live(LIVE.format(screen=screen)).vnc is None


def test_a_port_that_is_still_to_be_chosen_is_not_minus_one() -> None:
    text = "<domain><devices><graphics type='vnc' port='-1' autoport='yes' listen='::'/></devices></domain>"
    assert (domain.describe(text).vnc_listen, domain.describe(text).vnc_port) == ("::", "")
