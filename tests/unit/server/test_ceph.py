"""Ceph's administration through the API: what is refused, and what is said of what was done."""

from __future__ import annotations

from pathlib import Path

import pytest

from pvc.cluster import volumes
from pvc.storage.administration import Layout
from pvc.units import MIB
from tests.parts import documents
from tests.unit.server.site import Site, opened

STORAGE = "/storage/ceph"
POOL = f"{STORAGE}/pool/vms"
YES = {"yes-i-really-mean-it": "yes"}


@pytest.fixture
async def furnished(site: Site) -> Site:
    """A pool of Ceph's with two volumes."""
    await site.ceph.create_pool("vms", Layout(8, 1, 1))
    for name in ("disk0", "disk1"):
        assert (await site.ask("POST", f"{STORAGE}/volume/vms/{name}", {"size": MIB})).status == 200
    return site


async def test_a_pool_is_made_as_asked_and_can_be_used_at_once(bare: Site) -> None:
    params = {"pgs": 64, "replcfg": "copies=2,mincopies=1", "tier": "nvme"}
    answer = await bare.ask("POST", f"{STORAGE}/pool/fast", params)
    assert answer.message == 'Created RBD pool "fast" with 64 PGs.'
    assert bare.ceph.acts == [("create", "fast", Layout(64, 2, 1, "nvme"))]
    assert (await bare.ask("POST", f"{STORAGE}/volume/fast/disk0", {"size": MIB})).status == 200
    [pool] = (await bare.ask("GET", f"{STORAGE}/pool/fast")).body
    assert (pool["name"], pool["volume_count"]) == ("fast", 1)


@pytest.mark.parametrize(
    "text",
    ["3", "copies=3", "copies=0,mincopies=0", "copies=11,mincopies=1", "copies=2,mincopies=3", "mincopies=2,copies=3"],
)
async def test_copies_that_make_no_sense_are_refused(bare: Site, text: str) -> None:
    answer = await bare.ask("POST", f"{STORAGE}/pool/fast", {"pgs": 8, "replcfg": text})
    assert (answer.status, list(answer.fields)) == (400, ["replcfg"])
    assert bare.ceph.acts == []


@pytest.mark.parametrize("name", ["local", "vms"])
async def test_a_name_that_a_pool_has_is_taken(furnished: Site, name: str) -> None:
    answer = await furnished.ask("POST", f"{STORAGE}/pool/{name}", {"pgs": 8, "replcfg": "copies=3,mincopies=2"})
    assert (answer.status, answer.code) == (409, "already_exists")


async def test_two_requests_never_make_one_pool_at_once(bare: Site) -> None:
    """Ceph takes the second for a repetition, and taking it back would remove the first one's pool."""
    async with volumes.pool_reserved(bare.state, "fast", "another request to make it"):
        answer = await bare.ask("POST", f"{STORAGE}/pool/fast", {"pgs": 8, "replcfg": "copies=3,mincopies=2"})
    assert (answer.status, answer.code) == (409, "busy")
    assert answer.message == 'Pool "fast" is busy with another request to make it.'
    assert bare.ceph.acts == []


async def test_a_removed_pool_is_gone_and_what_was_in_it_is_said(furnished: Site) -> None:
    answer = await furnished.ask("DELETE", POOL, YES)
    assert answer.message == 'Removed RBD pool "vms" and its 2 volumes.'
    assert answer.body["volumes"] == ["disk0", "disk1"]
    assert (await furnished.ask("GET", POOL)).status == 404


async def test_a_dry_run_says_what_would_go_and_removes_nothing(furnished: Site) -> None:
    before = await furnished.everything()
    answer = await furnished.ask("DELETE", POOL, {"dry_run": "true"})
    assert answer.message == 'Would remove RBD pool "vms" and its 2 volumes.'
    assert await furnished.everything() == before


@pytest.mark.parametrize("said", [{}, *({"yes-i-really-mean-it": word} for word in ("", "no", "Yes", "true", "1"))])
async def test_a_pool_goes_only_after_the_one_word(furnished: Site, said: dict[str, str]) -> None:
    answer = await furnished.ask("DELETE", POOL, said)
    assert (answer.status, answer.fields) == (400, {"yes-i-really-mean-it": 'must be "yes"'})
    assert (await furnished.ask("GET", POOL)).status == 200


async def test_a_pool_stays_while_a_vm_that_is_off_has_a_volume_of_it(furnished: Site) -> None:
    await furnished.define("web1", documents.disk("vms/disk0"))
    answer = await furnished.ask("DELETE", POOL, YES)
    assert (answer.status, answer.code) == (409, "in_use")
    assert answer.message == 'Pool "vms" is in use by VM "web1".'
    assert (await furnished.ask("GET", POOL)).body[0]["volume_count"] == 2


async def test_a_pool_stays_while_a_volume_of_it_is_being_changed(furnished: Site) -> None:
    async with furnished.state.store.lock("volume.vms.disk1", "an upload"):
        answer = await furnished.ask("DELETE", POOL, YES)
    assert (answer.status, answer.message) == (409, 'Volume "vms/disk1" is busy with an upload.')
    assert (await furnished.ask("GET", POOL)).status == 200


@pytest.mark.parametrize(("method", "params"), [("PUT", {"pgs": "16"}), ("DELETE", YES)])
async def test_a_pool_of_the_configuration_is_not_ceph_s_to_change(
    bare: Site, method: str, params: dict[str, str]
) -> None:
    answer = await bare.ask(method, f"{STORAGE}/pool/local", params)
    assert answer.status == 409
    assert answer.message == 'Pool "local" is one of the configuration, and only changed there.'


async def test_an_osd_is_put_in_and_out(bare: Site) -> None:
    for word, said in (("out", "offline"), ("in", "online")):
        answer = await bare.ask("POST", f"{STORAGE}/osd/0/state", {"state": word})
        assert answer.message == f"Set OSD 0 {said}."
    assert bare.ceph.acts == [("mark", 0, False), ("mark", 0, True)]
    assert (await bare.ask("GET", f"{STORAGE}/osd/0/state")).body == {"id": "0", "in": 0, "up": 1}


async def test_osds_are_listed_by_number(bare: Site) -> None:
    [osd] = (await bare.ask("GET", f"{STORAGE}/osd", {"limit": "^0$"})).body
    assert (osd["id"], osd["node"], osd["device"]) == ("0", "hv1", "/dev/sdb")
    assert (await bare.ask("GET", f"{STORAGE}/osd", {"limit": "1"})).body == []


async def test_the_status_of_the_cluster_counts_osds(bare: Site) -> None:
    assert (await bare.ask("GET", "/status")).body["osds"] == {"total": 1, "up,out": 1}


async def test_options_are_set_and_unset(bare: Site) -> None:
    for action in ("set", "unset"):
        answer = await bare.ask("POST", f"{STORAGE}/option", {"option": "noout", "action": action})
        assert answer.message == f'{action.capitalize()} OSD property "noout".'
    assert bare.ceph.acts == [("flag", "noout", True), ("flag", "noout", False)]


ADMINISTRATION = [
    ("GET", "/status", {}),
    ("GET", "/utilization", {}),
    ("POST", "/option", {"option": "noout", "action": "set"}),
    ("POST", "/pool/fast", {"pgs": "8", "replcfg": "copies=3,mincopies=2"}),
    ("GET", "/osd/0", {}),
    ("POST", "/osd/0/state", {"state": "out"}),
]


async def test_without_ceph_all_of_its_administration_says_so(tmp_path: Path) -> None:
    async with opened(tmp_path, with_ceph=False) as site:
        for method, path, params in ADMINISTRATION:
            answer = await site.ask(method, f"{STORAGE}{path}", params)
            assert (answer.status, answer.code) == (409, "conflict")
            assert answer.message == 'Server "hv1" has no Ceph cluster: "ceph.conf" of its configuration is empty.'
        assert (await site.ask("GET", f"{STORAGE}/osd")).body == []
