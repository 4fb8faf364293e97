"""ZooKeeper spoken to through TLS: with what the configured CA signed, under the name that was configured, or not."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pvc import config
from pvc.errors import StoreUnavailable
from pvc.store.base import Create, Store
from pvc.store.connecting import OneSession
from pvc.store.paths import BASE
from pvc.store.source import open_source
from tests.contract.store.harness import PASSWORD, USER
from tests.parts.certificates import Authority
from tests.parts.zookeeper import ZooKeeper

pytestmark = pytest.mark.real


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    authority = Authority(tmp_path_factory.mktemp("ca"))
    authority.sign("server", "IP:127.0.0.1")
    authority.sign("client", "IP:127.0.0.1")
    return authority


@pytest.fixture(scope="module")
def server(authority: Authority) -> Iterator[ZooKeeper]:
    with ZooKeeper(tls=authority.folder) as server:
        yield server


def settings(host: str, folder: Path, authority: Authority, *, certificate: str = "client") -> config.Store:
    password = folder / "password"
    password.write_text(PASSWORD)
    password.chmod(0o600)
    ours = str(authority.folder / f"{certificate}.pem") if certificate else ""
    return config.Store(
        kind="zookeeper",
        hosts=(host,),
        user=USER,
        password_file=str(password),
        tls_ca=str(authority.certificate),
        tls_certificate=ours,
        tls_key=ours,
    )


async def session(cfg: config.Store) -> Store:
    assert list(cfg.problems()) == []
    return await (await open_source(cfg)).session()


async def test_a_session_lives_on_tls(server: ZooKeeper, authority: Authority, tmp_path: Path) -> None:
    store = await session(settings(f"127.0.0.1:{server.secure_port}", tmp_path, authority))
    paths = [f"{BASE}/{number}" for number in range(400)]
    async with store.watch(children=[BASE]) as watch:
        for start in range(0, len(paths), 100):
            await store.commit(*[Create(path, b"x" * 500) for path in paths[start : start + 100]])
        await watch.wait()
    async with asyncio.timeout(20):
        for _ in range(20):
            entries = await asyncio.gather(*(store.get_many(paths[start::8]) for start in range(8)))
            assert all(entry is not None for some in entries for entry in some)
    await store.aclose()


async def refusal(cfg: config.Store) -> str:
    async with asyncio.timeout(15):
        with pytest.raises(StoreUnavailable) as caught:
            await session(cfg)
    return str(caught.value.fields["reason"])


async def test_a_server_that_another_ca_signed_is_refused(
    server: ZooKeeper, authority: Authority, tmp_path: Path
) -> None:
    (tmp_path / "other").mkdir()
    other = Authority(tmp_path / "other", "Another CA")
    address = f"127.0.0.1:{server.secure_port}"
    said = await refusal(settings(address, tmp_path, other, certificate=""))
    assert said == f'TLS with ZooKeeper at "{address}" failed: unable to get local issuer certificate'


async def test_a_server_that_is_signed_for_another_name_is_refused(
    server: ZooKeeper, authority: Authority, tmp_path: Path
) -> None:
    address = f"localhost:{server.secure_port}"
    said = await refusal(settings(address, tmp_path, authority))
    assert said.startswith(f'TLS with ZooKeeper at "{address}" failed: Hostname mismatch')


async def test_a_server_that_wants_a_certificate_says_so_to_whoever_has_none(
    server: ZooKeeper, authority: Authority, tmp_path: Path
) -> None:
    address = f"127.0.0.1:{server.secure_port}"
    said = await refusal(settings(address, tmp_path, authority, certificate=""))
    assert said.startswith(f'TLS with ZooKeeper at "{address}" failed: ')


async def test_a_port_without_tls_is_refused(server: ZooKeeper, authority: Authority, tmp_path: Path) -> None:
    said = await refusal(settings(server.address, tmp_path, authority))
    assert said.startswith(f'TLS with ZooKeeper at "{server.address}" failed: ')


def test_answers_that_came_in_one_piece_of_tls_are_all_read(authority: Authority) -> None:
    """A proxy before ZooKeeper packs them so; the socket below has nothing to wake kazoo with for the second."""
    offered = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    offered.load_cert_chain(authority.folder / "server.pem")
    trusting = ssl.create_default_context(cafile=str(authority.certificate))
    near, far = socket.socketpair()
    idle, _other = socket.socketpair()
    with near, far, idle, _other, ThreadPoolExecutor(1) as thread:
        serving = thread.submit(offered.wrap_socket, far, server_side=True)
        with trusting.wrap_socket(near, server_hostname="127.0.0.1") as client, serving.result() as served:
            served.sendall(b"onetwo")
            assert client.recv(3) == b"one"
            ready, _, _ = OneSession(1.0, trusting).select([client, idle], [], [], 0)
            assert list(ready) == [client]
