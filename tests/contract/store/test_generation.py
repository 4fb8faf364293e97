"""The first generation's making, and which source a configuration opens."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from pvc import config
from pvc.errors import Conflict, Corrupt
from pvc.model.records import SCHEMA, Cluster, encode
from pvc.store.base import Create, Put
from pvc.store.embedded import EmbeddedSource
from pvc.store.generation import open_generation
from pvc.store.paths import BASE, CURRENT, Paths
from pvc.store.source import open_source
from tests.contract.store.harness import PASSWORD, USER, Harness
from tests.parts.zookeeper import ZooKeeper


@pytest.fixture
async def source(tmp_path: Path) -> EmbeddedSource:
    return await EmbeddedSource.open(str(tmp_path / "pvc.db"))


async def test_an_empty_store_gets_its_first_generation_and_folders(source: EmbeddedSource) -> None:
    store = await source.session()
    paths, cluster = await open_generation(store, "cluster-1", 1.5)
    assert paths == Paths("/pvc/1")
    assert cluster == Cluster(schema=SCHEMA, id="cluster-1", generation="1", created_at=1.5)
    assert None not in await store.get_many(paths.folders)
    await source.aclose()


async def test_opening_again_changes_nothing(source: EmbeddedSource) -> None:
    store = await source.session()
    first = await open_generation(store, "cluster-1", 1.0)
    assert await open_generation(store, "cluster-2", 2.0) == first
    assert (await store.get(CURRENT)).version == 0
    await source.aclose()


async def test_the_generation_that_current_names_is_opened(source: EmbeddedSource) -> None:
    store = await source.session()
    _, cluster = await open_generation(store, "cluster-1", 1.0)
    other = Cluster(schema=SCHEMA, id=cluster.id, generation="7", created_at=2.0)
    await store.commit(Put(CURRENT, encode(other), 0))
    assert await open_generation(store, "", 3.0) == (Paths("/pvc/7"), other)
    await source.aclose()


async def test_of_servers_that_begin_together_all_agree(harness: Harness) -> None:
    sessions = [await harness.session() for _ in range(8)]
    opened = await asyncio.gather(*(open_generation(store, f"id-{n}", float(n)) for n, store in enumerate(sessions)))
    assert len({cluster.id for _, cluster in opened}) == 1
    assert {paths for paths, _ in opened} == {Paths("/pvc/1")}


@pytest.mark.parametrize("value", [b'{"schema": 2}', b'{"schema": 2, "generation": {"kind": "new"}}'])
async def test_a_newer_schema_is_refused(source: EmbeddedSource, value: bytes) -> None:
    store = await source.session()
    await store.ensure(BASE)
    await store.commit(Create(CURRENT, value))
    with pytest.raises(Conflict) as caught:
        await open_generation(store, "cluster-1", 1.0)
    assert str(caught.value) == ('Store "/pvc/current" was written by a newer pvc: it has schema 2, this pvc knows 1.')
    assert (await store.get(CURRENT)).value == value
    await source.aclose()


@pytest.mark.parametrize("value", [b"", b"{", b'{"schema": "x"}', b'{"schema": 1}'])
async def test_a_broken_record_is_refused(source: EmbeddedSource, value: bytes) -> None:
    store = await source.session()
    await store.ensure(BASE)
    await store.commit(Create(CURRENT, value))
    with pytest.raises(Corrupt, match="/pvc/current"):
        await open_generation(store, "cluster-1", 1.0)
    await source.aclose()


async def test_the_default_configuration_opens_the_embedded_store(tmp_path: Path) -> None:
    source = await open_source(config.Store(path=str(tmp_path / "new" / "pvc.db")))
    assert await (await source.session()).children("/") == []
    await source.aclose()


@pytest.mark.real
async def test_a_cluster_s_configuration_opens_zookeeper(zookeeper: ZooKeeper, tmp_path: Path) -> None:
    password = tmp_path / "password"
    password.write_text(f"{PASSWORD}\n")
    password.chmod(0o600)
    source = await open_source(
        config.Store(kind="zookeeper", hosts=(zookeeper.address,), user=USER, password_file=str(password))
    )
    assert "zookeeper" in await (await source.session()).children("/")
    await source.aclose()


async def test_zookeeper_is_not_asked_before_a_session_is_wanted() -> None:
    source = await open_source(config.Store(kind="zookeeper", hosts=("127.0.0.1:1",)))
    await source.aclose()
