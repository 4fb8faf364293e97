"""Bad input, hostile or careless: one clear sentence, the right status, nothing changed, nothing left behind."""

from __future__ import annotations

import io

import pytest

from pvc.cluster import networks
from pvc.model.records import Network
from pvc.store.base import Create, Put
from pvc.units import MIB
from tests.parts import documents
from tests.unit.server.site import NODE, Answer, Site

JSON, FORM = {"Content-Type": "application/json"}, {"Content-Type": "application/x-www-form-urlencoded"}
MAC = "52:54:00:00:00:01"


async def refused(site: Site, method: str, path: str, status: int, code: str, **more: object) -> Answer:
    before = await site.everything()
    answer = await site.ask(method, path, **more)  # type: ignore[arg-type]
    assert (answer.status, answer.code) == (status, code), answer.body
    assert "error" not in answer.message.lower()
    assert "\n" not in answer.message
    assert await site.everything() == before
    assert await site.tasks() == []
    return answer


@pytest.mark.parametrize(
    ("body", "kind", "problem"),
    [
        (b"{", "application/json", "is not JSON"),
        (b"\xff", "application/json", "is not JSON"),
        (b'{"xml": "\xff"}', "application/json", "is not JSON"),
        (b"[1]", "application/json", "must be a JSON object"),
        (b"7", "application/json", "must be a JSON object"),
        (b"9" * 5000, "application/json", "is not JSON"),
        (b"[" * 100_000, "application/json", "is not JSON"),
        (b"xml=%ff", "application/x-www-form-urlencoded", "is not the form that it is said to be"),
        (b"xml=\xff", "application/x-www-form-urlencoded", "is not the form that it is said to be"),
        (b"--x\r\nnonsense", "multipart/form-data; boundary=x", "is not the form that it is said to be"),
        (b"x", "multipart/form-data", "is not the form that it is said to be"),
        (b"<domain/>", "text/xml", "must be a form or JSON"),
        (b"<domain/>", "application/octet-stream", "must be a form or JSON"),
    ],
)
async def test_a_body_that_is_no_parameters_is_refused(site: Site, body: bytes, kind: str, problem: str) -> None:
    answer = await refused(site, "POST", "/vm", 400, "invalid_input", data=body, headers={"Content-Type": kind})
    assert answer.fields == {"body": problem}


@pytest.mark.parametrize(
    ("method", "path", "given"),
    [
        ("POST", "/vm/web1/network", {"net": "lan", "mac": "x", "model": "-", "live": "maybe"}),
        ("POST", "/vm/web1/volume", {"volume": "web1", "disk_id": "../x", "bus": "isa", "restart": "2"}),
        ("POST", "/vm/web1/meta", {"profile": "x" * 65, "migration_max_downtime": "-1", "selector": "best"}),
        ("POST", "/vm/web1/tags", {"action": "paint", "tag": "-"}),
        ("POST", "/vm/web1/state", {"state": "fly", "timeout": "-1"}),
        ("POST", "/vm/web1/node", {"action": "fly", "node": "-"}),
        ("POST", "/vm", {"user_tags": ["-"], "protected_tags": ["/"], "selector": "best"}),
        ("POST", "/network", {"vni": "0", "description": "-", "nettype": "bridged", "mtu": "1", "bridge": "/"}),
        ("PUT", "/network/5", {"description": "-", "mtu": "65536"}),
        ("POST", "/storage/ceph/volume", {"volume": "-", "size": "much"}),
        ("POST", "/storage/ceph/pool", {"pool": "-", "pgs": "3", "replcfg": "copies=1,mincopies=2"}),
        ("POST", "/storage/ceph/option", {"option": "fly", "action": "try"}),
        ("POST", "/storage/ceph/snapshot", {"snapshot": "-"}),
        ("POST", "/tokens", {"name": "-", "role": "king"}),
        ("POST", "/provisioner/ova/app/define", {"name": "-", "selector": "best"}),
        ("GET", "/vm", {"limit": "(", "state": "flying", "tag": "-", "negate": "maybe"}),
        ("GET", "/vm/web1/console", {"lines": "-1", "follow": "maybe"}),
        ("GET", "/tasks", {"limit": "(", "status": "late"}),
    ],
)
async def test_all_that_is_wrong_is_said_at_once(site: Site, method: str, path: str, given: dict[str, str]) -> None:
    """Each argument with what it may be; what is missing with the rest."""
    how = {"params": given} if method == "GET" else {"json": given}
    answer = await refused(site, method, path, 400, "invalid_input", **how)
    right = {"net", "nettype"}
    missing = {"xml", "pool", "volume"} & set(answer.fields) - set(given)
    assert set(answer.fields) == set(given) - right | missing
    assert all(problem.startswith(("must be", "is ")) for problem in answer.fields.values()), answer.fields


@pytest.mark.parametrize("kind", [JSON, FORM, {"Content-Type": "text/xml"}])
async def test_a_body_of_50_mb_is_too_large(site: Site, kind: dict[str, str]) -> None:
    answer = await refused(site, "POST", "/vm", 413, "too_large", data=io.BytesIO(b"a" * (50 << 20)), headers=kind)
    assert answer.message == "The request's body has too many bytes, the limit is 1048576."


@pytest.mark.parametrize(
    "xml",
    [
        "",
        "<domain>",
        "<network/>",
        "<domain/>",
        "\ud800",
        "<a>\0</a>",
        '<!DOCTYPE d [<!ENTITY x SYSTEM "file:///etc/passwd">]><domain><name>&x;</name></domain>',
        '<!DOCTYPE d SYSTEM "http://127.0.0.1:1/x"><domain/>',
        documents.vm("a/b"),
        documents.vm("../../etc"),
        documents.vm("x" * 65),
        documents.vm(more="<!-- " + "x" * 300_000 + " -->"),
    ],
)
async def test_xml_that_is_no_vm_is_refused(site: Site, xml: str) -> None:
    await refused(site, "POST", "/vm", 400, "invalid_xml", json={"xml": xml})


@pytest.mark.parametrize(
    "xml",
    [
        documents.vm(devices=["<hostdev mode='subsystem' type='pci'/>"]),
        documents.vm(
            devices=["<disk type='file' device='disk'><source file='/etc/shadow'/><target dev='vda'/></disk>"]
        ),
        documents.vm(devices=["<disk type='volume'><source pool='..' volume='x'/><target dev='vda'/></disk>"]),
        documents.vm(devices=["<serial type='unix'><source path='/run/pvc/pvc.sock'/></serial>"]),
        documents.vm(more="<q:commandline xmlns:q='http://libvirt.org/schemas/domain/qemu/1.0'/>"),
    ],
)
async def test_xml_that_reaches_for_the_host_is_not_permitted(site: Site, xml: str) -> None:
    answer = await refused(site, "POST", "/vm", 403, "not_permitted", json={"xml": xml})
    assert answer.message.endswith("where hypervisor.allow_host_devices is configured.")


@pytest.mark.parametrize(
    ("params", "status", "code"),
    [
        ({"volume": "local/absent"}, 404, "not_found"),
        ({"volume": "nowhere/disk0"}, 404, "not_found"),
        ({"volume": "local/own", "disk_id": "vdc"}, 409, "conflict"),
        ({"volume": "local/taken"}, 409, "in_use"),
        ({"volume": "local/disk0", "disk_id": "vda"}, 409, "conflict"),
        ({"volume": "local/../disk0"}, 400, "invalid_input"),
        ({"volume": "local/disk0", "bus": "\0"}, 400, "invalid_input"),
        ({"volume": "local/disk0", "disk_id": "vdé"}, 400, "invalid_input"),
        ({"volume": "local/disk0", "live": "maybe"}, 400, "invalid_input"),
    ],
)
async def test_a_volume_that_cannot_be_attached_is_refused(
    site: Site, params: dict[str, str], status: int, code: str
) -> None:
    for name in ("own", "taken", "disk0"):
        await site.pool.create(name, MIB)
    await site.define("web1", documents.disk("local/own"))
    await site.define("web2", documents.disk("local/taken"))
    await refused(site, "POST", "/vm/web1/volume", status, code, json=params)


@pytest.mark.parametrize(
    ("params", "status", "code"),
    [
        ({"net": "absent"}, 404, "not_found"),
        ({"net": "lan", "mac": MAC}, 409, "conflict"),
        ({"net": "lan", "mac": MAC.upper()}, 409, "conflict"),
        ({"net": "lan", "model": "\0"}, 400, "invalid_input"),
        ({"net": ["lan", "lan"]}, 400, "invalid_input"),
        ({"net": {"a": 1}}, 400, "invalid_input"),
    ],
)
async def test_a_network_that_cannot_be_attached_is_refused(
    site: Site, params: dict[str, str], status: int, code: str
) -> None:
    await networks.add(site.state, Network(vni=100, description="lan", bridge="vmbr100"))
    await site.define("web1", documents.nic(MAC))
    await refused(site, "POST", "/vm/web1/network", status, code, json=params)


@pytest.mark.parametrize(
    ("device", "status", "code"),
    [
        ("", 400, "invalid_xml"),
        ("<disk/>", 403, "not_permitted"),
        ("<hostdev/>", 400, "invalid_xml"),
        (documents.disk("local/disk0").replace("<target dev='vda' bus='virtio'/>", ""), 400, "invalid_input"),
        (documents.nic("nonsense"), 400, "invalid_input"),
        (documents.nic(MAC), 409, "conflict"),
        (documents.disk("local/absent", "vdb"), 404, "not_found"),
        ("<interface type='network'><source network='default'/></interface>", 403, "not_permitted"),
        (documents.nic("52:54:00:00:00:02", "virbr0"), 403, "not_permitted"),
        ("<rng model='virtio'><backend model='random'/></rng>", 400, "invalid_xml"),
    ],
)
async def test_a_device_that_cannot_be_attached_is_refused(site: Site, device: str, status: int, code: str) -> None:
    await site.pool.create("disk0", MIB)
    await networks.add(site.state, Network(vni=100, description="lan", bridge="vmbr100"))
    await site.define("web1", documents.nic(MAC))
    await refused(site, "POST", "/vm/web1/device", status, code, json={"xml": device})


async def test_a_vm_is_not_defined_with_a_nic_outside_of_the_networks(site: Site) -> None:
    answer = await refused(
        site, "POST", "/vm", 400, "invalid_input", json={"xml": documents.vm(devices=[documents.nic()])}
    )
    assert answer.fields["xml"].startswith('has a NIC on the bridge "vmbr100", which no network has')


async def test_a_device_that_is_not_there_is_not_detached(site: Site) -> None:
    await networks.add(site.state, Network(vni=100, description="lan", bridge="vmbr100"))
    await site.define("web1", documents.nic(MAC))
    for path, params in (
        ("device", {"xml": documents.disk("local/disk0")}),
        ("device", {"xml": documents.nic()}),
        ("network", {"mac": "52:54:00:00:00:02"}),
        ("volume", {"volume": "local/disk0"}),
    ):
        await refused(site, "DELETE", f"/vm/web1/{path}", 404, "not_found", params=params)


async def test_sizes_that_no_pool_has_are_refused(site: Site) -> None:
    for size in ("0", "-1", "1X", "1.5G", "9" * 400, "99999999999999999999P", "٣G"):
        answer = await site.ask("POST", "/storage/ceph/volume", json={"pool": "local", "volume": "a", "size": size})
        assert answer.status in (400, 507), answer.body
    assert await site.pool.volumes() == []


async def test_a_volume_shrinks_only_by_force(site: Site) -> None:
    await site.pool.create("disk0", 2 * MIB)
    path = "/storage/ceph/volume/local/disk0"
    await refused(site, "PUT", path, 409, "conflict", params={"new_size": "1M"})
    await refused(site, "PUT", path, 400, "invalid_input", params={"new_size": "1M", "new_name": "x"})
    await refused(site, "PUT", path, 400, "invalid_input")
    assert (await site.ask("PUT", path, {"new_size": "1M", "force": "yes"})).status == 200
    assert len(site.content("disk0")) == MIB


async def test_what_is_there_already_is_not_made_again(site: Site) -> None:
    await site.pool.create("disk0", MIB)
    await site.pool.create("disk1", MIB)
    await site.pool.snapshot("disk0", "s")
    uuid = await site.define()
    given = {"vni": 7, "description": "dmz", "nettype": "bridged"}
    assert (await site.ask("POST", "/network", json=given)).status == 200
    for method, path, params in (
        ("POST", "/vm", {"xml": documents.vm()}),
        ("POST", "/vm", {"xml": documents.vm("other", uuid=uuid)}),
        ("POST", "/network", given),
        ("POST", "/network", {**given, "vni": 8}),
        ("POST", "/network", {**given, "description": "other"}),
        ("POST", "/storage/ceph/volume", {"pool": "local", "volume": "disk0", "size": "1M"}),
        ("POST", "/storage/ceph/volume/local/disk0/clone", {"new_volume": "disk1"}),
        ("PUT", "/storage/ceph/volume/local/disk0", {"new_name": "disk1"}),
        ("POST", "/storage/ceph/snapshot/local/disk0/s", {}),
    ):
        answer = await refused(site, method, path, 409, "already_exists", json=params)
        assert answer.message.endswith(" exists already.")


async def test_what_is_in_use_stays(site: Site) -> None:
    await site.pool.create("disk0", MIB)
    await networks.add(site.state, Network(vni=100, description="lan", bridge="vmbr100"))
    await site.define("web1", documents.disk("local/disk0"), documents.nic(MAC))
    await refused(site, "DELETE", "/network/100", 409, "in_use")
    await refused(site, "DELETE", "/storage/ceph/volume/local/disk0", 409, "in_use")
    await refused(site, "PUT", "/storage/ceph/volume/local/disk0", 409, "in_use", params={"new_name": "x"})
    answer = await site.ask("POST", "/vm/web1/state", {"state": "start", "wait": "yes"})
    assert answer.message == 'Started VM "web1".'
    await refused(site, "PUT", "/storage/ceph/volume/local/disk0", 409, "in_use", params={"new_size": "512K"})
    await refused(
        site, "PUT", "/storage/ceph/volume/local/disk0", 409, "in_use", params={"new_size": "4K", "force": "yes"}
    )
    await site.pool.snapshot("disk0", "snap")
    await refused(site, "POST", "/storage/ceph/snapshot/local/disk0/snap/rollback", 409, "in_use")


async def test_without_an_agent_nothing_starts_and_it_is_said(bare: Site) -> None:
    answer = await refused(bare, "POST", "/vm", 503, "node_unavailable", json={"xml": documents.vm()})
    assert answer.message == 'Node "any" is not available: no agent runs'
    assert (await bare.ask("GET", "/vm")).body == []


async def test_a_failed_start_answers_with_the_reason_and_is_shown(site: Site) -> None:
    site.hypervisor.refuse_starts("out of smoke")
    await site.define()
    answer = await site.ask("POST", "/vm/web1/state", {"state": "start", "wait": "yes"})
    assert (answer.status, answer.message) == (409, 'VM "web1" did not start: out of smoke')
    [vm] = (await site.ask("GET", "/vm/web1")).body
    assert (vm["state"], vm["failed_reason"]) == ("fail", "out of smoke")


async def test_a_guest_stopped_on_request_has_nothing_to_explain(site: Site) -> None:
    uuid = await site.running()
    for action, words in (("stop", 'Stopped VM "web1".'), ("start", 'Started VM "web1".')):
        answer = await site.ask("POST", "/vm/web1/state", {"state": action, "wait": "yes"})
        assert answer.message == words
        [vm] = (await site.ask("GET", "/vm/web1")).body
        assert (vm["state"], vm["failed_reason"]) == (action, "")
    site.hypervisor.power_off(uuid)
    await site.stopped(uuid)
    [vm] = (await site.ask("GET", f"/vm/{uuid}")).body
    assert (vm["state"], vm["failed_reason"], vm["power"]) == ("stop", "The guest powered itself off.", "off")


async def test_devices_come_and_go_while_the_guest_runs(site: Site) -> None:
    await site.pool.create("disk0", MIB)
    await networks.add(site.state, Network(vni=100, description="lan", bridge="vmbr100"))
    uuid = await site.running()
    assert (await site.ask("POST", "/vm/web1/volume", {"volume": "local/disk0"})).body["live"] is True
    assert (await site.ask("POST", "/vm/web1/network", {"net": "lan", "mac": MAC})).body["live"] is True
    assert site.hypervisor.devices(uuid) == ["vda", MAC]
    site.hypervisor.make_clinging(uuid)
    answer = await site.ask("DELETE", "/vm/web1/network", {"net": "100"})
    assert (answer.status, answer.code) == (504, "timeout")
    assert [nic["mac"] for nic in (await site.ask("GET", "/vm/web1/network")).body] == [MAC]


async def test_a_record_that_cannot_be_read_is_shown_in_its_place(site: Site) -> None:
    await site.stopped(await site.define("good"))
    paths = site.state.paths
    for path in (paths.vm("bad"), paths.network(9), paths.task("bad"), paths.node("bad")):
        await site.state.store.commit(Create(path, b"{"))
    status = await site.state.store.get(paths.node_status(NODE))
    await site.state.store.commit(Put(paths.node_status(NODE), b"{", status.version))
    [bad, good] = (await site.ask("GET", "/vm")).body
    assert (bad["name"], bad["state"], good["name"]) == ("bad", "fail", "good")
    assert bad["failed_reason"].startswith("The record cannot be read: ")
    assert set(bad) <= set(good)
    assert [item["vni"] for item in (await site.ask("GET", "/network")).body] == [9]
    assert [item["status"] for item in (await site.ask("GET", "/tasks")).body] == ["failed"]
    nodes = {item["name"]: item for item in (await site.ask("GET", "/node")).body}
    assert nodes["bad"]["problem"].startswith("The record cannot be read: ")
    assert nodes[NODE]["problem"].startswith(f'The record of NodeStatus "{NODE}" cannot be read: ')
    assert [nodes[name]["health"] for name in ("bad", NODE)] == [0, 0]
    assert (await site.ask("GET", "/node/bad")).body == [nodes["bad"]]
    health = (await site.ask("GET", "/status")).body["cluster_health"]
    assert health["health"] < 100
    assert any("bad" in message for message in health["messages"])
    answer = await site.ask("GET", "/vm/bad")
    assert answer.status == 404, "a damaged name index is the only way to it by name"


@pytest.mark.parametrize("limit", ["(", "a{1000}{1000}", "(" * 500 + ")" * 500, "*", "[", "(?P<a", "a" + "(" * 9000])
async def test_a_filter_that_is_no_regular_expression_is_refused(site: Site, limit: str) -> None:
    for path in ("/vm", "/node", "/network", "/storage/ceph/volume", "/storage/ceph/pool", "/storage/ceph/snapshot"):
        answer = await site.ask("GET", path, json={"limit": limit})
        assert answer.status == 400 or limit.count("(") == limit.count(")"), answer.body
        assert answer.status < 500
