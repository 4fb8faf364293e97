"""Ceph's own administration, on a real Ceph: what it does there, what it may not, and that it never hangs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import pytest

from pvc import cephconfig, config
from pvc.cluster.volumes import all_pools, pool_of
from pvc.errors import AlreadyExists, CephRefused, NotFound, NotPermitted, PVCError, Unavailable
from pvc.storage.administration import Administration, Layout
from pvc.storage.base import Pools
from pvc.storage.cephadmin import open_administration
from pvc.storage.pools import open_pools
from pvc.units import MIB
from tests.contract.storage.rbd_harness import RBDHarness
from tests.parts.ceph import POOL, Ceph, command

pytestmark = pytest.mark.real

ONE = Layout(pgs=8, copies=1, min_copies=1)


@pytest.fixture
def harness(ceph: Ceph) -> Iterator[RBDHarness]:
    with RBDHarness(ceph) as harness:
        yield harness
    with ceph.admin() as admin:
        for name in set(names_in(admin)) - {POOL, "device_health_metrics"}:
            command(admin, "osd pool rm", pool=name, pool2=name, yes_i_really_really_mean_it=True)


def names_in(admin: Any) -> list[str]:
    return [str(entry["poolname"]) for entry in command(admin, "osd lspools")]


def names(ceph: Ceph) -> list[str]:
    with ceph.admin() as admin:
        return names_in(admin)


def settings(ceph: Ceph, **changes: Any) -> cephconfig.Ceph:
    keyring = str(ceph.folder / "keyring")
    values = {"conf": str(ceph.conf), "user": "everywhere", "keyring": keyring, "op_timeout_s": 20.0}
    return cephconfig.Ceph(**{**values, "admin": "ruler", "admin_keyring": keyring, "list_age_s": 0.0, **changes})


@pytest.fixture
async def admin(harness: RBDHarness) -> AsyncIterator[Administration]:
    admin = await open_administration(settings(harness.ceph))
    yield admin
    await admin.aclose()


@pytest.fixture
async def pools(harness: RBDHarness) -> AsyncIterator[Pools]:
    """As another daemon has them."""
    pools = await open_pools({}, settings(harness.ceph))
    yield pools
    await pools.aclose()


async def test_a_new_pool_is_there_for_every_daemon(admin: Administration, pools: Pools, harness: RBDHarness) -> None:
    assert list(pools) == [POOL]
    await admin.create_pool("fast", Layout(pgs=16, copies=2, min_copies=1))
    pool = await pool_of(pools, "fast")
    assert [found.name for found in await all_pools(pools)] == ["fast", POOL]
    seen = await pool.statistics()
    assert (seen.pgs, seen.tier, seen.volumes, seen.counts["num_objects"]) == (16, "default", 0, 0)
    with harness.ceph.admin() as ceph:
        [found] = [one for one in command(ceph, "osd pool ls", detail="detail") if one["pool_name"] == "fast"]
    assert (found["size"], found["min_size"], found["application_metadata"]) == (2, 1, {"rbd": {}})


async def test_volumes_live_in_a_new_pool(admin: Administration, pools: Pools) -> None:
    await admin.create_pool("fast", ONE)
    pool = await pool_of(pools, "fast")
    await pool.create("disk0", MIB)
    async with pool.draft("disk0") as draft:
        await draft.write(b"new")
        await draft.commit()
    assert [volume.name for volume in await pool.volumes()] == ["disk0"]
    assert (await pool.statistics()).volumes == 1


async def test_a_removed_pool_is_gone_and_its_name_may_come_to_mean_another(
    admin: Administration, pools: Pools
) -> None:
    await admin.create_pool("fast", ONE)
    await (await pool_of(pools, "fast")).create("disk0", MIB)
    await admin.remove_pool("fast")
    with pytest.raises(NotFound, match='No pool "fast"'):
        await pool_of(pools, "fast")
    await admin.create_pool("fast", ONE)
    assert await (await pool_of(pools, "fast")).volumes() == []


async def test_a_pool_that_is_there_is_not_made_again(admin: Administration, harness: RBDHarness) -> None:
    with harness.ceph.admin() as ceph:
        command(ceph, "osd pool create", pool="plain", pg_num=8)
    for name in (POOL, "plain"):
        with pytest.raises(AlreadyExists):
            await admin.create_pool(name, ONE)


@pytest.mark.parametrize(
    ("layout", "reason"),
    [(Layout(8, 1, 2), "between 1 and size"), (Layout(8, 1, 1, "ssd"), "class ssd does not exist")],
)
async def test_a_pool_that_cannot_be_made_whole_is_not_made(
    admin: Administration, harness: RBDHarness, layout: Layout, reason: str
) -> None:
    with pytest.raises(CephRefused, match=f"Ceph refused: .*{reason}"):
        await admin.create_pool("fast", layout)
    assert "fast" not in names(harness.ceph)


async def test_a_pool_is_bound_to_a_class_of_devices(admin: Administration, pools: Pools) -> None:
    await admin.create_pool("slow", Layout(8, 1, 1, "hdd"))
    assert (await (await pool_of(pools, "slow")).statistics()).tier == "hdd"


async def test_placement_groups_are_set(admin: Administration, pools: Pools) -> None:
    await admin.create_pool("fast", ONE)
    await admin.set_pgs("fast", 16)
    assert (await (await pool_of(pools, "fast")).statistics()).pgs == 16


async def test_only_pools_for_rbd_with_good_names_are_pools_here(pools: Pools, harness: RBDHarness) -> None:
    with harness.ceph.admin() as ceph:
        for name, app in (("files", "cephfs"), (".hidden", "rbd"), ("none", "")):
            command(ceph, "osd pool create", pool=name, pg_num=1)
            if app:
                command(ceph, "osd pool application enable", pool=name, app=app)
    assert [pool.name for pool in await all_pools(pools)] == [POOL]


async def test_what_the_configuration_names_wins(harness: RBDHarness, tmp_path: Any) -> None:
    folder = {POOL: config.DirectoryPool(path=str(tmp_path))}
    pools = await open_pools(folder, settings(harness.ceph))
    assert not (await pool_of(pools, POOL)).capabilities.shared
    await pools.aclose()


async def test_ceph_s_own_words_are_passed_on(admin: Administration, harness: RBDHarness) -> None:
    assert harness.ceph.fsid in await admin.status()
    assert POOL in await admin.utilization()


async def test_osds_are_listed_in_the_established_shape(admin: Administration) -> None:
    [osd] = await admin.osds()
    assert osd.id == 0 and osd.node and osd.device.startswith("/dev/") and osd.db_device == ""
    assert set(osd.stats) == {
        *("uuid", "up", "in", "primary_affinity", "utilization", "var", "pgs", "kb", "kb_used", "kb_used_data"),
        *("kb_used_omap", "kb_used_meta", "kb_avail", "weight", "reweight", "class", "node", "used", "avail"),
        *("wr_ops", "wr_data", "rd_ops", "rd_data", "state"),
    }
    assert (osd.stats["up"], osd.stats["in"], osd.stats["class"], osd.stats["state"]) == (1, 1, "hdd", "exists,up")


async def test_an_osd_goes_out_and_in(admin: Administration) -> None:
    for within in (False, True):
        await admin.mark(0, within=within)
        assert (await admin.osd_states())[0].within is within
    with pytest.raises(NotFound, match='No OSD "7"'):
        await admin.mark(7, within=True)


async def test_flags_are_set_and_unset(admin: Administration, harness: RBDHarness) -> None:
    for on in (True, False):
        await admin.flag("noout", on=on)
        with harness.ceph.admin() as ceph:
            assert ("noout" in command(ceph, "osd dump")["flags_set"]) is on


CHANGES: dict[str, Callable[[Administration], Awaitable[object]]] = {
    "create": lambda admin: admin.create_pool("fast", ONE),
    "set_pgs": lambda admin: admin.set_pgs("none", 16),
    "remove": lambda admin: admin.remove_pool("none"),
    "flag": lambda admin: admin.flag("noout", on=False),
}
MARK: dict[str, Callable[[Administration], Awaitable[object]]] = {"mark": lambda admin: admin.mark(0, within=False)}
OUTLOOK = "; what was asked may still come about"
READS: dict[str, Callable[[Administration], Awaitable[object]]] = {
    "status": lambda admin: admin.status(),
    "utilization": lambda admin: admin.utilization(),
    "osds": lambda admin: admin.osds(),
    "osd_states": lambda admin: admin.osd_states(),
}


async def test_a_key_without_the_caps_is_told_which_it_needs(harness: RBDHarness) -> None:
    weak = await open_administration(settings(harness.ceph, admin=""))
    for name, change in {**CHANGES, **MARK}.items():
        with pytest.raises(NotPermitted, match=r"client\.everywhere .* caps mon 'allow r, allow service osd rw'"):
            await change(weak)
            pytest.fail(f"{name} was allowed")
    assert harness.ceph.fsid in await weak.status()
    await weak.aclose()
    assert names(harness.ceph) == [POOL, "device_health_metrics"]


async def test_a_pool_that_ceph_guards_stays_and_ceph_says_why(admin: Administration, harness: RBDHarness) -> None:
    await admin.create_pool("fast", ONE)
    with harness.ceph.admin() as ceph:
        command(ceph, "osd pool set", pool="fast", var="nodelete", val="true")
        with pytest.raises(CephRefused, match="Ceph refused: pool deletion is disabled"):
            await admin.remove_pool("fast")
        command(ceph, "osd pool set", pool="fast", var="nodelete", val="false")


async def fail_in_time(calls: dict[str, Awaitable[object]], outlook: str = "") -> None:
    outcomes = await asyncio.gather(*calls.values(), return_exceptions=True)
    for name, outcome in zip(calls, outcomes, strict=True):
        assert isinstance(outcome, Unavailable), (name, outcome)
        assert str(outcome) == f"Ceph is not available: Ceph did not answer in time{outlook}"


async def test_silent_monitors_end_every_call_in_its_time(harness: RBDHarness) -> None:
    quick = settings(harness.ceph, op_timeout_s=1.0)
    admin, pools = await open_administration(quick), await open_pools({}, quick)
    with harness.ceph.mon.frozen():
        await fail_in_time({name: call(admin) for name, call in {**READS, **MARK}.items()})
        await fail_in_time({name: call(admin) for name, call in CHANGES.items()}, OUTLOOK)
        await fail_in_time({"pool_of": pool_of(pools, POOL)})
        assert [pool.name for pool in await all_pools(pools)] == [POOL]
    assert await admin.status()
    assert (await pool_of(pools, POOL)).name == POOL
    await admin.aclose()
    await pools.aclose()


async def test_a_silent_manager_ends_what_needs_it_in_its_time(harness: RBDHarness) -> None:
    admin = await open_administration(settings(harness.ceph, op_timeout_s=1.0))
    with harness.ceph.mgr.frozen():
        await fail_in_time({"osds": admin.osds()})
        assert await admin.osd_states()
    assert await admin.osds()
    await admin.aclose()


async def test_monitors_that_are_silent_from_the_start_end_the_opening(harness: RBDHarness) -> None:
    quick = settings(harness.ceph, connect_timeout_s=1.0)
    with harness.ceph.mon.frozen():
        for opening in (open_administration(quick), open_pools({}, quick)):
            with pytest.raises(PVCError, match="in time"):
                await opening
