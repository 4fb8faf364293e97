"""OVAs through the server: taken whole or not at all, and made into VMs."""

from __future__ import annotations

import asyncio
import hashlib
import io
from typing import Any

import pytest

from pvc.cluster import leftovers, ovas, tasks, volumes
from pvc.model.records import OVA, OVADisk, TaskStatus, encode
from pvc.store.base import Create
from pvc.units import MIB
from tests.parts.ova import RAW, archive, described, descriptor, disk_entry, disk_item, member
from tests.unit.server.appliance import (
    DESCRIPTOR,
    MAPPED,
    PATH,
    SIZE,
    SUMS,
    VOLUMES,
    WHOLE,
    A,
    B,
    define,
    stock,
    upload,
)
from tests.unit.server.site import BASE, Site


async def assert_nothing_came_of_it(site: Site) -> None:
    assert [volume.name for volume in await site.pool.volumes()] == []
    assert site.hidden() == []
    assert await site.state.ovas() == []
    assert (await site.ask("GET", PATH)).body == []
    for name in ("ova.app", "volume.local.ova_app_vda"):
        async with site.state.store.lock(name, "a test"):
            pass


async def test_an_ova_becomes_its_volumes_and_a_record(bare: Site) -> None:
    answer = await upload(bare)
    assert answer.status == 200, answer.body
    said = 'Uploaded OVA "app" with 2 disks into pool "local"; every file is as its manifest says.'
    assert (answer.message, answer.body["bytes"]) == (said, len(WHOLE))
    assert bare.content("ova_app_vda") == A.ljust(SIZE, b"\0")
    assert bare.content("ova_app_vdb") == B.ljust(SIZE, b"\0")
    assert bare.hidden() == []
    [shown] = (await bare.ask("GET", f"{PATH}/app")).body
    assert (shown["name"], shown["title"], shown["vcpus"], shown["memory"]) == ("app", "An appliance", 2, 256)
    assert [one["volume_name"] for one in shown["volumes"]] == ["ova_app_vda", "ova_app_vdb"]
    assert [one["network"] for one in shown["networks"]] == ["VM Network", "dmz"]
    assert (shown["manifest"], shown["certificate"], shown["size"]) == (True, False, len(WHOLE))
    assert (await bare.ask("GET", PATH, {"limit": "ap"})).body == [shown]
    [task] = await bare.tasks()
    assert (task.status, task.target, task.id) == (TaskStatus.DONE, ("ova", "app"), answer.body["task"])


async def test_the_name_may_stand_in_the_path_and_the_file_in_a_form(bare: Site) -> None:
    head = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.ova"\r\n\r\n'
    answer = await bare.ask(
        "POST",
        f"{PATH}/app",
        {"pool": "local", "ova_size": len(WHOLE)},
        data=io.BytesIO(head + WHOLE + b"\r\n--x--\r\n"),
        headers={"Content-Type": "multipart/form-data; boundary=x"},
    )
    assert answer.status == 200, answer.body
    assert bare.content("ova_app_vdb") == B.ljust(SIZE, b"\0")


async def test_a_checksum_is_told_and_demanded(bare: Site) -> None:
    assert (await upload(bare, checksum=f"sha256:{'0' * 64}")).code == "invalid_image"
    await assert_nothing_came_of_it(bare)
    assert (await upload(bare, checksum="sha256")).body["sha256"] == hashlib.sha256(WHOLE).hexdigest()


async def test_an_empty_disk_is_an_empty_volume_and_a_certificate_is_told(bare: Site) -> None:
    empty = descriptor([], [disk_entry(1, str(MIB), "")], [disk_item("disk1", 10)])
    answer = await upload(bare, archive(member("x.ovf", empty), member("x.cert", b"c")))
    assert answer.message.endswith("it has no manifest, and its certificate was not looked at.")
    assert bare.content("ova_app_vda") == bytes(MIB)


SMALL = described(("a.img", RAW), capacity=4096)


@pytest.mark.parametrize(
    ("body", "more", "status", "words"),
    [
        (b"", {}, 400, "ends before its end marker"),
        (archive(), {}, 400, "the archive is empty"),
        (WHOLE[:-2000], {}, 400, "ends before its end marker"),
        (WHOLE[: len(WHOLE) // 2], {}, 400, "ends before its end marker"),
        (WHOLE, {"ova_size": "100"}, 400, "goes on after the 100 bytes that were announced"),
        (WHOLE, {"ova_size": str(len(WHOLE) + 1)}, 400, "the upload ended after"),
        (WHOLE, {"ova_size": "1P"}, 413, "the limit is"),
        (archive(member("x.ovf", DESCRIPTOR), member("a.img", A)), {}, 400, '"b.img", which is not in the archive'),
        (
            archive(member("x.ovf", DESCRIPTOR), member("a.img", A), member("b.img", A), member("x.mf", SUMS)),
            {},
            400,
            '"b.img" is not what the manifest says',
        ),
        (archive(member("x.ovf", SMALL), member("a.img", A)), {}, 400, 'does not fit the volume "local/ova_app_vda"'),
        (
            archive(member("x.ovf", described(("a", RAW), capacity=1 << 50)), member("a", A)),
            {},
            507,
            "too little space",
        ),
        (archive(member("x.ovf", DESCRIPTOR), member("a.img", b"QFI\xfb" + A)), {}, 400, "first bytes are those of qc"),
    ],
)
async def test_an_ova_that_cannot_be_is_refused_and_leaves_nothing(
    bare: Site, body: bytes, more: dict[str, str], status: int, words: str
) -> None:
    answer = await upload(bare, body, **more)
    assert words in answer.message
    assert answer.message.endswith(".")
    assert answer.status == status, answer.body
    await assert_nothing_came_of_it(bare)
    assert [task.status for task in await bare.tasks()] == [TaskStatus.FAILED]


async def test_a_volume_that_is_there_already_is_somebody_elses(bare: Site) -> None:
    await bare.pool.create("ova_app_vdb", MIB)
    answer = await upload(bare)
    assert (answer.status, answer.message) == (409, 'Volume "local/ova_app_vdb" exists already.')
    assert [volume.name for volume in await bare.pool.volumes()] == ["ova_app_vdb"]
    assert await bare.state.ovas() == []


async def test_an_ova_is_uploaded_once(bare: Site) -> None:
    await upload(bare)
    before = await bare.everything()
    answer = await upload(bare)
    assert (answer.status, answer.message) == (409, 'OVA "app" exists already.')
    assert await bare.everything() == before


async def test_a_client_that_goes_away_leaves_nothing(bare: Site) -> None:
    reader, writer = await asyncio.open_unix_connection(bare.socket)
    lines = [f"POST {BASE}{PATH}/app?pool=local HTTP/1.1", "Host: pvc", f"Content-Length: {len(WHOLE)}", "", ""]
    writer.write("\r\n".join(lines).encode() + WHOLE[:-100_000])
    async with asyncio.timeout(10), bare.state.store.watch(children=[bare.state.paths.ovas]) as watch:
        while not await bare.state.ovas():
            await watch.wait()
    assert (await bare.ask("GET", PATH)).body == []
    assert (await bare.ask("GET", f"{PATH}/app")).status == 404
    writer.close()
    [task] = await bare.tasks()
    with pytest.raises(tasks.TaskProblem, match="the client went away"):
        await tasks.wait(bare.state, task.id, 10)
    async with asyncio.timeout(10), bare.state.store.watch(children=[bare.state.paths.ovas]) as watch:
        while await bare.state.ovas():
            await watch.wait()
    del reader


async def test_the_volumes_of_an_ova_are_in_use(bare: Site) -> None:
    await upload(bare)
    before = await bare.everything()
    path = "/storage/ceph/volume/local/ova_app_vda"
    acts: list[tuple[str, str, dict[str, Any]]] = [
        ("DELETE", path, {}),
        ("PUT", path, {"new_name": "mine"}),
        ("PUT", path, {"new_size": "8M"}),
        ("POST", f"{path}/upload", {"image_format": "raw"}),
    ]
    for method, where, params in acts:
        answer = await bare.ask(method, where, params)
        said = 'Volume "local/ova_app_vda" is in use by OVA "app".'
        assert (answer.status, answer.message) == (409, said)
    assert await bare.everything() == before


async def test_an_ova_goes_with_its_volumes(bare: Site) -> None:
    await upload(bare)
    answer = await bare.ask("DELETE", f"{PATH}/app")
    assert (answer.status, answer.body) == (200, {"message": 'Removed OVA "app".', "volumes": VOLUMES})
    await assert_nothing_came_of_it(bare)
    assert (await bare.ask("DELETE", f"{PATH}/app")).status == 404


async def test_an_ova_whose_volume_has_a_snapshot_stays_as_it_is(bare: Site) -> None:
    await upload(bare)
    await bare.pool.snapshot("ova_app_vdb", "mine")
    before = await bare.everything()
    answer = await bare.ask("DELETE", f"{PATH}/app")
    assert (answer.status, "has snapshots" in answer.message) == (409, True)
    assert await bare.everything() == before


async def left(site: Site, **more: Any) -> None:
    """As a server leaves it that died after the first volume."""
    disks = tuple(OVADisk(dev=volume[-3:], volume=volume, size=MIB) for volume in VOLUMES)
    ova = OVA(name="app", vcpus=1, memory=64, disks=disks, **more)
    await site.state.store.commit(Create(site.state.paths.ova("app"), encode(ova)))
    await site.pool.create("ova_app_vda", MIB)


async def test_what_a_dead_server_left_is_not_there_and_is_cleared_away(bare: Site) -> None:
    await left(bare)
    assert (await bare.ask("GET", PATH)).body == []
    for method, path in (("GET", f"{PATH}/app"), ("DELETE", f"{PATH}/app"), ("POST", f"{PATH}/app/define")):
        assert (await bare.ask(method, path, {"name": "web1"} if method == "POST" else {})).status == 404
    answer = await upload(bare)
    assert (answer.status, answer.code) == (409, "busy")
    made = await bare.ask("POST", "/storage/ceph/volume/local/ova_app_vdb", {"size": "1M"})
    assert (made.status, made.code) == (409, "in_use")
    assert await ovas.clear(bare.state, {"local": bare.pool}) is False
    await assert_nothing_came_of_it(bare)


async def test_what_somebody_holds_is_not_cleared_away(bare: Site) -> None:
    await left(bare)
    async with ovas.reserved(bare.state, "app", "an upload"):
        await ovas.clear(bare.state, {"local": bare.pool})
    async with volumes.reserved(bare.state, "local", "ova_app_vdb", "an upload"):
        await ovas.clear(bare.state, {"local": bare.pool})
    assert [volume.name for volume in await bare.pool.volumes()] == ["ova_app_vda"]
    assert len(await bare.state.ovas()) == 1


async def test_what_is_in_a_pool_of_another_server_is_left_to_it(bare: Site) -> None:
    await left(bare)
    await ovas.clear(bare.state, {})
    assert len(await bare.state.ovas()) == 1


async def test_an_abandoned_upload_of_an_ova_is_ended(bare: Site) -> None:
    task = tasks.new(bare.state, leftovers.UPLOAD, ("ova", "app"), "app", node="hv2")
    await bare.state.store.commit(tasks.creation(bare.state, task))
    async with ovas.reserved(bare.state, "app", leftovers.holder(task)):
        assert (await leftovers.end_abandoned(bare.state))[1] == 0
    assert (await leftovers.end_abandoned(bare.state))[1] == 1


@pytest.fixture
async def stocked(site: Site) -> Site:
    await stock(site)
    return site


async def test_a_vm_is_made_like_the_ovas_machine_and_the_ova_stays(stocked: Site) -> None:
    answer = await define(stocked, network=MAPPED)
    assert answer.status == 200, answer.body
    [vm] = (await stocked.ask("GET", "/vm/web1")).body
    assert (vm["vcpu"], vm["memory"], vm["description"]) == (2, 256, "An appliance")
    assert [(disk["dev"], disk["bus"], disk["name"]) for disk in vm["disks"]] == [
        ("vda", "virtio", "local/web1_vda"),
        ("vdb", "virtio", "local/web1_vdb"),
    ]
    assert [nic["vni"] for nic in vm["networks"]] == ["100", "200"]
    assert all(nic["mac"] for nic in vm["networks"])
    assert stocked.content("web1_vda") == A.ljust(SIZE, b"\0")
    stocked.fill("web1_vda", b"changed")
    assert stocked.content("ova_app_vda") == A.ljust(SIZE, b"\0")
    started = await stocked.ask("POST", "/vm/web1/state", {"state": "start", "wait": "true"})
    assert started.status == 200, started.body
    assert (await define(stocked, name="web2", network=MAPPED)).status == 200
    assert (await stocked.ask("DELETE", f"{PATH}/app")).status == 200


@pytest.mark.parametrize(
    ("params", "status", "words"),
    [
        ({}, 400, 'Argument "network" says nothing of "VM Network", which a NIC joins; says nothing of "dmz"'),
        ({"network": ["dmz=lan"]}, 400, 'says nothing of "VM Network"'),
        ({"network": ["VM Network"]}, 400, 'must be written as "NAME=NETWORK"'),
        ({"network": [*MAPPED, "other=lan"]}, 400, 'names "other", which no NIC of OVA "app" joins'),
        ({"network": [*MAPPED, "dmz=lan"]}, 400, 'names "dmz" twice'),
        ({"network": ["VM Network=lan", "dmz=999"]}, 400, 'names no network of this cluster: "999"'),
        ({"network": MAPPED, "name": "a/b"}, 400, 'Argument "name" must be'),
        ({"network": MAPPED, "node": "absent"}, 400, 'names no node of this cluster: "absent"'),
        ({"network": MAPPED, "name": "taken"}, 409, 'VM "taken" exists already'),
        ({"network": MAPPED, "name": "half"}, 409, 'Volume "local/half_vdb" exists already'),
    ],
)
async def test_a_vm_that_cannot_be_made_leaves_nothing(
    stocked: Site, params: dict[str, Any], status: int, words: str
) -> None:
    await stocked.define("taken")
    await stocked.pool.create("half_vdb", MIB)
    before, known = await stocked.everything(), await stocked.tasks()
    answer = await define(stocked, **params)
    assert (answer.status, words in answer.message) == (status, True), answer.body
    assert (await stocked.everything(), await stocked.tasks()) == (before, known)


async def test_an_ova_that_cannot_be_read_is_shown_as_such(bare: Site) -> None:
    await bare.state.store.commit(Create(bare.state.paths.ova("broken"), b"{"))
    [shown] = (await bare.ask("GET", PATH)).body
    assert shown["name"] == "broken"
    assert "cannot be read" in shown["problem"]
