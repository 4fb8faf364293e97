"""Who may speak to ZooKeeper: this cluster, and nobody else who reaches its port."""

from __future__ import annotations

import asyncio
import base64
import hashlib
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from kazoo.client import KazooClient
from kazoo.exceptions import NoAuthError, NotEmptyError
from kazoo.security import OPEN_ACL_UNSAFE, make_digest_acl

from pvc.cluster import networks, nodes, tasks
from pvc.cluster.opening import open_state
from pvc.cluster.state import State
from pvc.errors import NotPermitted
from pvc.model.records import VM, Network, Node, NodeStatus, Task, encode
from pvc.store.access import Access
from pvc.store.base import Create, Put, Store
from pvc.store.clustered import ClusteredSource
from pvc.store.paths import BASE, CURRENT, LOCKS
from tests.contract.store.harness import PASSWORD, USER, clustered
from tests.parts.zookeeper import ZooKeeper

pytestmark = pytest.mark.real

OPEN = Access()


@pytest.fixture
async def source(own_zookeeper: ZooKeeper) -> AsyncIterator[ClusteredSource]:
    source = clustered([own_zookeeper.address], 10.0)
    yield source
    await source.aclose()


@contextmanager
def client(server: ZooKeeper, user: str = "", password: str = "") -> Iterator[KazooClient]:
    auth = [("digest", f"{user}:{password}")] if user else []
    client = KazooClient(server.address, 10.0, auth_data=auth)
    client.start()
    try:
        yield client
    finally:
        client.stop()
        client.close()


async def filled(source: ClusteredSource) -> State:
    """Every kind of record, made in every way there is: alone, in a transaction, ephemeral, written over."""
    state = await open_state(source)
    vm = VM(uuid="7d9c1b0e-7e4f-4b57-9f0b-0c8f6a7d3c21", name="web1", xml="<domain/>", node="hv1")
    index = Create(state.paths.vm_name(vm.name), vm.uuid.encode())
    await state.store.commit(Create(state.paths.vm(vm.uuid), encode(vm)), index)
    await state.store.commit(Put(state.paths.vm(vm.uuid), encode(vm), 0))
    await networks.add(state, Network(vni=100, description="lan", bridge="vmbr1"))
    await state.store.commit(tasks.creation(state, Task(id="t1", kind="upload", target=("volume", "a/b"), name="b")))
    await nodes.join(state, Node(name="hv1"))
    await nodes.publish(state, "hv1", NodeStatus(cpu_count=4))
    return state


def tree(zookeeper: KazooClient, path: str = BASE) -> list[str]:
    below = [one for name in zookeeper.get_children(path) for one in tree(zookeeper, f"{path}/{name}")]
    return [path, *below]


def content(zookeeper: KazooClient) -> dict[str, tuple[bytes, int, list[Any]]]:
    found = {path: (*zookeeper.get(path), zookeeper.get_acls(path)) for path in tree(zookeeper)}
    return {path: (value, stat.mzxid, acls[0]) for path, (value, stat, acls) in found.items()}


ATTEMPTS: dict[str, Callable[[KazooClient, str], object]] = {
    "read": lambda stranger, path: stranger.get(path),
    "list": lambda stranger, path: stranger.get_children(path),
    "write": lambda stranger, path: stranger.set(path, b"mine now"),
    "make below": lambda stranger, path: stranger.create(f"{path}/mine"),
    "see who may": lambda stranger, path: stranger.get_acls(path),
    "say who may": lambda stranger, path: stranger.set_acls(path, OPEN_ACL_UNSAFE),
}


def unrefused(stranger: KazooClient, path: str) -> list[str]:
    done = []
    for name, attempt in ATTEMPTS.items():
        try:
            attempt(stranger, path)
            done.append(f"{name} {path}")
        except NoAuthError:
            continue
    with pytest.raises(NotEmptyError if path == BASE else NoAuthError):  # "/" is everybody's
        stranger.delete(path)
    return done


@pytest.mark.parametrize("credentials", [("", ""), ("eve", "eve"), (USER, "guessed")], ids=["nobody", "eve", "guess"])
async def test_a_stranger_does_nothing_to_any_record(
    own_zookeeper: ZooKeeper, source: ClusteredSource, credentials: tuple[str, str]
) -> None:
    state = await filled(source)

    def try_everything() -> tuple[set[str], list[str]]:
        with client(own_zookeeper, USER, PASSWORD) as owner, client(own_zookeeper, *credentials) as stranger:
            before = content(owner)
            done = [one for path in before for one in unrefused(stranger, path)]
            assert content(owner) == before
            return set(before), done

    async with state.store.lock("vm-1", "a test"):
        paths, done = await asyncio.to_thread(try_everything)
    assert done == []
    ways = {CURRENT, LOCKS, f"{LOCKS}/vm-1", state.paths.node_alive("hv1"), state.paths.node_status("hv1")}
    ways |= {state.paths.vm_name("web1"), state.paths.network(100), state.paths.task("t1"), *state.paths.folders}
    assert ways - paths == set()


async def refusal(server: ZooKeeper, access: Access) -> str:
    source = ClusteredSource([server.address], 10.0, access)
    with pytest.raises(NotPermitted) as caught:
        await source.session()
    await source.aclose()
    return str(caught.value)


async def test_a_wrong_password_is_said_to_be_one(own_zookeeper: ZooKeeper, source: ClusteredSource) -> None:
    await open_state(source)
    assert await refusal(own_zookeeper, Access(USER, "wrong")) == (
        'ZooKeeper does not let user "pvc" use "/pvc": it was made with another password than the one in '
        "store.password_file, or by somebody else."
    )


async def test_a_closed_cluster_does_not_open_without_credentials(
    own_zookeeper: ZooKeeper, source: ClusteredSource
) -> None:
    await open_state(source)
    assert await refusal(own_zookeeper, OPEN) == (
        'ZooKeeper lets only its owner use "/pvc": store.user and store.password_file must be given.'
    )


HOW = (
    'with every pvc stopped, close it in zkCli.sh with "addauth digest pvc:PASSWORD" and "setAcl -R /pvc auth::cdrwa", '
    'or remove it with "deleteall /pvc" if it is not this cluster\'s.'
)


@pytest.mark.parametrize("path", ["/pvc", "/pvc/1", "/pvc/1/vms"])
@pytest.mark.parametrize(
    ("acl", "who"),
    [(OPEN_ACL_UNSAFE, "world:anyone"), ([make_digest_acl("eve", "eve", all=True)], "digest:eve")],
    ids=["open", "shared"],
)
async def test_a_tree_that_somebody_else_may_use_too_is_refused(
    own_zookeeper: ZooKeeper, path: str, acl: list[Any], who: str
) -> None:
    ours = [make_digest_acl(USER, PASSWORD, all=True)]

    def plant() -> None:
        with client(own_zookeeper, USER, PASSWORD) as planter:
            planter.ensure_path("/pvc/1/vms/x", acl=ours)
            for parent in ("/pvc", "/pvc/1", "/pvc/1/vms"):
                planter.set_acls(parent, ours + acl if parent == path else ours)

    await asyncio.to_thread(plant)
    said = await refusal(own_zookeeper, Access(USER, PASSWORD))
    assert said == f'"{path}" in ZooKeeper is open to others than user "pvc" ({who}): {HOW}'


async def test_a_stranger_who_was_first_is_refused(own_zookeeper: ZooKeeper) -> None:
    def plant() -> None:
        with client(own_zookeeper) as stranger:
            stranger.create(BASE)

    await asyncio.to_thread(plant)
    assert HOW in await refusal(own_zookeeper, Access(USER, PASSWORD))


async def value_of(store: Store, path: str) -> bytes:
    return (await store.get(path)).value


async def test_an_open_cluster_is_closed_as_the_refusal_says(own_zookeeper: ZooKeeper, source: ClusteredSource) -> None:
    opened = ClusteredSource([own_zookeeper.address], 10.0, OPEN)
    before = await value_of((await filled(opened)).store, CURRENT)
    await opened.aclose()
    assert HOW in await refusal(own_zookeeper, Access(USER, PASSWORD))
    commands = f"addauth digest {USER}:{PASSWORD}", f"setAcl -R {BASE} auth::cdrwa"
    await asyncio.to_thread(own_zookeeper.administer, *commands)
    state = await open_state(source)
    assert await value_of(state.store, CURRENT) == before
    await nodes.publish(state, "hv1", NodeStatus(cpu_count=5))

    def try_everything() -> list[str]:
        with client(own_zookeeper, USER, PASSWORD) as owner, client(own_zookeeper) as stranger:
            return [one for path in tree(owner) for one in unrefused(stranger, path)]

    assert await asyncio.to_thread(try_everything) == []
    assert "must be given" in await refusal(own_zookeeper, OPEN)


async def test_the_password_is_changed_as_the_design_says(own_zookeeper: ZooKeeper, source: ClusteredSource) -> None:
    await filled(source)
    await source.aclose()
    new = "opens-it-from-now-on"
    digest = base64.b64encode(hashlib.sha1(f"{USER}:{new}".encode()).digest()).decode()
    both = [f"addauth digest {USER}:{password}" for password in (PASSWORD, new)]
    await asyncio.to_thread(own_zookeeper.administer, *both, f"setAcl -R {BASE} digest:{USER}:{digest}:cdrwa")
    changed = ClusteredSource([own_zookeeper.address], 10.0, Access(USER, new))
    await nodes.publish(await open_state(changed), "hv1", NodeStatus(cpu_count=5))
    await changed.aclose()
    assert "another password" in await refusal(own_zookeeper, Access(USER, PASSWORD))


async def test_credentials_come_back_with_the_connection(own_zookeeper: ZooKeeper, source: ClusteredSource) -> None:
    state = await filled(source)
    async with state.store.watch(CURRENT) as watch:
        await asyncio.to_thread(own_zookeeper.stop)
        await asyncio.to_thread(own_zookeeper.start)
        await watch.wait()
        await state.store._store._link.up.wait()  # type: ignore[attr-defined]
    await nodes.publish(state, "hv1", NodeStatus(cpu_count=5))
    assert not state.store.lost.is_set()
