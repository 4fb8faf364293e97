"""The API as clients meet it: a unix socket for root, a port for tokens; one node with a fake hypervisor."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web

from pvc.agent.reconcile import Reconciler
from pvc.agent.records import followed
from pvc.agent.settings import Door, Settings
from pvc.cluster import nodes, power
from pvc.cluster.opening import open_state
from pvc.cluster.state import Held, State
from pvc.cluster.tokens import digest
from pvc.config import Agent, Config, Hypervisor, Upload
from pvc.errors import AlreadyExists, StoreUnavailable
from pvc.hypervisor.fake import FakeHypervisor
from pvc.model.records import Node, Role, Task, Token, encode
from pvc.server.app import build_app
from pvc.server.auth import TokenBook
from pvc.server.session import SESSION, Session
from pvc.storage.base import Pools
from pvc.storage.directory import DirectoryPool, open_directory
from pvc.store.base import Create, Source
from pvc.store.embedded import EmbeddedSource
from pvc.store.paths import TOKENS as TOKEN_FOLDER
from pvc.units import KIB, MIB
from tests.parts import documents
from tests.unit.server.ceph import FakeCeph

NODE = "hv1"
TOKENS = {role: f"a {role} token that only a test knows" for role in Role}
TOKEN = TOKENS[Role.OPERATE]
BASE = "/api/v1"
UPLOADS = Upload(most_at_once=2, largest_bytes=64 * MIB, idle_timeout_s=5.0, resume_s=30.0)


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    body: Any
    headers: Mapping[str, str]

    @property
    def code(self) -> str:
        return str(self.body["code"])

    @property
    def message(self) -> str:
        return str(self.body["message"])

    @property
    def fields(self) -> dict[str, Any]:
        return dict(self.body["fields"])


async def _body(answer: aiohttp.ClientResponse) -> Any:
    """JSON, or what an image is."""
    data = await answer.read()
    return data if answer.content_type == "application/octet-stream" else json.loads(data or b"null")


@dataclass
class Site:
    folder: Path
    state: State
    pool: DirectoryPool
    app: web.Application
    client: aiohttp.ClientSession
    network: aiohttp.ClientSession
    ceph: FakeCeph
    port: int = 0
    hypervisor: FakeHypervisor = field(default_factory=FakeHypervisor)

    @property
    def socket(self) -> str:
        return str(self.folder / "pvc.sock")

    async def ask(self, method: str, path: str, params: Mapping[str, Any] | None = None, **more: Any) -> Answer:
        """params: sent in the query. path: below the API's base."""
        query = {name: str(value) for name, value in (params or {}).items()}
        async with self.client.request(method, f"http://pvc{BASE}{path}", params=query, **more) as answer:
            return Answer(answer.status, await _body(answer), answer.headers)

    async def define(self, name: str = "web1", *devices: str) -> str:
        given = await self.ask("POST", "/vm", json={"xml": documents.vm(name, devices=devices)})
        assert given.status == 200, given.body
        return str(given.body["uuid"])

    async def running(self, name: str = "web1") -> str:
        uuid = await self.define(name)
        answer = await self.ask("POST", f"/vm/{name}/state", {"state": "start", "wait": "true"})
        assert answer.status == 200, answer.body
        return uuid

    async def stopped(self, uuid: str) -> None:
        vm = (await self.state.vm(uuid)).record
        await power.watch_until(self.state, vm, lambda _vm, seen: seen.power == "off", "It", 10)

    def content(self, volume: str) -> bytes:
        return (self.folder / "pool" / f"{volume}.raw").read_bytes()

    def fill(self, volume: str, data: bytes) -> None:
        with (self.folder / "pool" / f"{volume}.raw").open("r+b") as file:
            file.write(data)

    def hidden(self) -> list[str]:
        return sorted(path.name for path in (self.folder / "pool" / ".incoming").iterdir())

    async def tasks(self) -> list[Task]:
        return [held.record for held in await self.state.tasks() if isinstance(held, Held)]

    async def everything(self) -> dict[str, object]:
        """Every record but tasks, and every volume with its content: what a refusal leaves as it was."""
        found: dict[str, object] = {}
        for folder in self.state.paths.folders:
            if folder != self.state.paths.tasks:
                for key in await self.state.store.children(folder):
                    found[f"{folder}/{key}"] = await self.state.store.get(f"{folder}/{key}")
        for volume in await self.pool.volumes():
            found[volume.name] = volume.size, hash(self.content(volume.name))
            found[f"{volume.name}@"] = [one.name for one in await self.pool.snapshots(volume.name)]
        return found | {"hidden": self.hidden(), "ceph": list(self.ceph.acts)}


@asynccontextmanager
async def opened(
    folder: Path,
    hypervisor: Hypervisor | None = None,
    source: Source | None = None,
    *,
    with_ceph: bool = True,
    uploads: Upload = UPLOADS,
) -> AsyncIterator[Site]:
    """source: an embedded store of its own where none is given; closed in the end in either case."""
    source = source or await EmbeddedSource.open(str(folder / "pvc.db"))
    pool = await open_directory("local", folder / "pool")
    session, book, first = Session(source), TokenBook(), asyncio.Event()
    config = Config(
        agent=Agent(node=NODE, detach_timeout_s=0.05),
        upload=uploads,
        hypervisor=hypervisor or Hypervisor(),
    )
    pools = Pools({"local": pool})
    ceph = FakeCeph(folder, pools)
    app = build_app(session, book, pools, config, ceph if with_ceph else None)
    keeping = asyncio.create_task(session.keep(lambda _state: first.set()))
    await first.wait()
    state = await open_state(source)
    await state.store.ensure(TOKEN_FOLDER)
    for role in Role:
        record = Token(name=role, role=role, digest=digest(TOKENS[role]), created_by="root", created_at=0.0)
        with suppress(AlreadyExists):  # another site on the same store was first
            await state.store.commit(Create(f"{TOKEN_FOLDER}/{role}", encode(record)))
    await book.read(state.store)
    following = asyncio.create_task(book.follow(state.store))
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    await web.UnixSite(runner, str(folder / "pvc.sock")).start()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    local = aiohttp.UnixConnector(str(folder / "pvc.sock"))
    async with aiohttp.ClientSession(connector=local) as client, aiohttp.ClientSession() as network:
        yield Site(folder, state, pool, app, client, network, ceph, port=runner.addresses[1][1])
    await runner.cleanup()
    keeping.cancel()
    following.cancel()
    await asyncio.gather(keeping, following, return_exceptions=True)
    await pools.aclose()
    await source.aclose()


def door(site: Site, listen: str = "") -> Door:
    """Where an agent of this site answers."""
    here = {name: str(site.folder / name) for name in ("agent.sock", "consoles", "agent.log")}
    return Door(socket=here["agent.sock"], listen=listen, console_path=here["consoles"], log_path=here["agent.log"])


@asynccontextmanager
async def lively(site: Site) -> AsyncIterator[None]:
    """With an agent, which joins again when another generation is in force."""
    settings = Settings(
        node=NODE, console_path=str(site.folder / "consoles"), detach_timeout_s=0.05, links_path=str(site.folder)
    )
    for bridge in ("vmbr100", "vmbr200", "virbr0"):
        (site.folder / bridge).touch()
    ready = asyncio.Event()
    reconciler = Reconciler(site.hypervisor, {"local": site.pool}, settings)
    agent = asyncio.create_task(_live(site, reconciler, ready))
    await ready.wait()
    yield
    agent.cancel()
    await asyncio.gather(agent, return_exceptions=True)


async def _live(site: Site, reconciler: Reconciler, ready: asyncio.Event) -> None:
    state = site.state
    while True:
        await nodes.join(state, Node(name=NODE, peer=f"unix:{site.folder}/agent.sock"))
        with suppress(StoreUnavailable):
            async with followed(state, NODE, reconciler.wake) as records:
                await reconciler.run(state, records, ready.set)
        state = await site.app[SESSION].after(state, 10)


PIECE = 64 * KIB
