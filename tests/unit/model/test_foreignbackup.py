"""A backup of the original Parallel Virtual Cluster: VMs, settings, tags and networks come over; the rest is told."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from pvc.errors import InvalidInput
from pvc.model import backup, domain
from pvc.model.records import Desired, MigrationMethod, Network, Node, Selector, Tag
from tests.parts import documents

UUID = "6e0cbd2e-3bd1-4b8c-a0c7-1f6a31ac1e6f"
DISK = "<disk type='network' device='disk'><source protocol='rbd' name='vms/web1'/><target dev='sda'/></disk>"


def tree(**settings: str) -> dict[str, Any]:
    """As the original stores one VM, with a tag and three networks."""
    own = {
        "state": "start",
        "node": "hv1",
        "lastnode": "None",
        "node_limit": "hv1,hv2",
        "node_selector": "vcpus",
        "node_autostart": "True",
        "migration_method": "live",
        "profile": "web",
        "xml": documents.vm("web1", uuid=UUID, devices=[DISK]),
        "tags": "",
        "tags/backup": "backup",
        "tags/backup/type": "user",
        "tags/backup/protected": "True",
        "rbdlist": "vms/web1",
        "consolelog": "",
        **settings,
    }
    return {
        "/": "",
        "/schema": "",
        "/schema/version": "9",
        "/config": "",
        "/config/maintenance": "False",
        "/nodes": "",
        "/nodes/hv1": "coordinator",
        "/nodes/hv1/keepalive": "1700000000",
        "/nodes/hv2": "hypervisor",
        "/domains": "",
        f"/domains/{UUID}": "web1",
        **{f"/domains/{UUID}/{name}": value for name, value in own.items()},
        "/networks": "",
        "/networks/100": "lan",
        "/networks/100/nettype": "bridged",
        "/networks/100/mtu": "1500",
        "/networks/101": "dmz",
        "/networks/101/nettype": "bridged",
        "/networks/101/mtu": "",
        "/networks/200": "inside",
        "/networks/200/nettype": "managed",
        "/ceph": "",
        "/ceph/volumes": "",
        "/ceph/volumes/vms": "",
    }


def read(given: Any) -> backup.Backup:
    return backup.read(msgspec.json.encode(given))


def test_vms_settings_tags_and_bridged_networks_come_over() -> None:
    found = read(tree())
    [vm] = found.content.vms
    assert (vm.uuid, vm.name, vm.node, vm.last_node, vm.desired) == (UUID, "web1", "hv1", "", Desired.RUNNING)
    assert (vm.node_limit, vm.node_selector, vm.node_autostart) == (("hv1", "hv2"), Selector.VCPUS, True)
    assert (vm.migration_method, vm.profile) == (MigrationMethod.LIVE, "web")
    assert vm.tags == (Tag(name="backup", protected=True),)
    assert [disk.volume for disk in domain.describe(vm.xml).disks] == ["vms/web1"]
    assert found.content.networks == (
        Network(vni=100, description="lan", mtu=1500, bridge="vmbr100"),
        Network(vni=101, description="dmz", bridge="vmbr101"),
    )
    assert found.content.nodes == (Node(name="hv1"), Node(name="hv2"))
    assert found.foreign


def test_what_has_no_place_here_is_told() -> None:
    managed, left = read(tree()).notes
    assert managed == 'Network "200" of type "managed" is not restored: pvc has bridged networks only.'
    assert left.startswith("Not restored")


def test_the_api_of_the_original_answers_json_within_json() -> None:
    assert read(msgspec.json.encode(tree()).decode()) == read(tree())


@pytest.mark.parametrize(
    ("word", "desired"),
    [
        ("start", Desired.RUNNING),
        ("migrate", Desired.RUNNING),
        ("stop", Desired.STOPPED),
        ("shutdown", Desired.STOPPED),
        ("fail", Desired.STOPPED),
        ("disable", Desired.DISABLED),
    ],
)
def test_states_come_over(word: str, desired: Desired) -> None:
    assert read(tree(state=word)).content.vms[0].desired is desired


def test_settings_that_are_missing_or_odd_are_the_defaults() -> None:
    [vm] = read(tree(node_selector="None", migration_method="", node_limit="None", node_autostart="")).content.vms
    assert (vm.node_selector, vm.migration_method, vm.node_limit) == (Selector.NONE, MigrationMethod.NONE, ())


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (tree() | {"/schema/version": "99"}, 'the schema "99"'),
        ({"/": ""}, 'the schema ""'),
        (tree(xml="<domain>"), 'the XML of VM "web1"'),
        (tree(node=""), 'belongs to node ""'),
    ],
)
def test_what_cannot_be_read_is_refused(given: dict[str, str], says: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        read(given)
    assert says in caught.value.problems["cluster_data"]
