"""Who may speak: settled before anything is read."""

from __future__ import annotations

import ast
import asyncio
import hmac
import inspect
import json

import pytest

from pvc.server import auth
from pvc.server.auth import hashed, new_token
from tests.unit.server.site import BASE, TOKEN, Site


async def raw(site: Site, head: str, body: bytes = b"") -> tuple[int, dict[str, object]]:
    """Send what stands there, and read the answer without sending more."""
    reader, writer = await asyncio.open_connection("127.0.0.1", site.port)
    writer.write(head.encode("latin-1") + b"\r\n\r\n" + body)
    async with asyncio.timeout(10):
        answer = (await reader.readuntil(b"\r\n\r\n")).decode()
        length = next(line for line in answer.split("\r\n") if line.lower().startswith("content-length"))
        told = json.loads(await reader.readexactly(int(length.partition(":")[2])))
    writer.close()
    return int(answer.split()[1]), told


UPLOAD = f"POST {BASE}/storage/ceph/volume/local/disk0/upload?image_format=raw HTTP/1.1\r\nHost: pvc"


async def test_root_on_the_socket_needs_no_token(bare: Site) -> None:
    assert (await bare.ask("GET", "/vm")).status == 200


async def test_a_token_is_needed_on_the_network(bare: Site) -> None:
    url = f"http://127.0.0.1:{bare.port}{BASE}/vm"
    for headers, status in (({}, 401), ({"X-Api-Key": TOKEN}, 200), ({"X-Api-Key": "x"}, 401)):
        async with bare.network.get(url, headers=headers) as answer:
            assert answer.status == status


@pytest.mark.parametrize(
    "token",
    ["", " ", TOKEN[:-1], TOKEN[1:], TOKEN + "x", TOKEN.upper(), hashed(TOKEN), "sha256:", "\xff\xfe", "a" * 7000],
)
async def test_what_is_not_the_whole_token_is_refused(bare: Site, token: str) -> None:
    status, told = await raw(bare, f"GET {BASE}/vm HTTP/1.1\r\nHost: pvc\r\nX-Api-Key: {token}")
    assert (status, told["code"]) == (401, "unauthenticated")
    assert str(told["message"]).endswith(".")
    assert token.strip() == "" or token not in str(told)


async def test_a_token_in_the_query_or_a_cookie_is_none(bare: Site) -> None:
    for place in (
        f"GET {BASE}/vm?X-Api-Key={TOKEN.replace(' ', '+')} HTTP/1.1",
        f"GET {BASE}/vm HTTP/1.1\r\nCookie: k={TOKEN}",
    ):
        assert (await raw(bare, f"{place}\r\nHost: pvc"))[0] == 401


@pytest.mark.parametrize("length", ["Content-Length: 10000000000", "Transfer-Encoding: chunked"])
async def test_a_stranger_is_refused_before_the_body_is_read(bare: Site, length: str) -> None:
    """The answer comes though not one byte of the body was sent."""
    await bare.pool.create("disk0", 4096)
    status, told = await raw(bare, f"{UPLOAD}\r\n{length}")
    assert (status, told["code"]) == (401, "unauthenticated")
    assert await bare.tasks() == []


@pytest.mark.parametrize(
    "path", ["/vm/absent", "/nonsense", "/vm?limit=(", "/provisioner", "/storage/ceph/volume/a/b/upload", "/"]
)
async def test_a_stranger_learns_nothing_of_what_there_is(bare: Site, path: str) -> None:
    for method in ("GET", "POST", "PATCH"):
        status, told = await raw(bare, f"{method} {BASE}{path} HTTP/1.1\r\nHost: pvc")
        assert (status, told["code"]) == (401, "unauthenticated")


def test_tokens_are_compared_in_constant_time() -> None:
    calls = [node.func for node in ast.walk(ast.parse(inspect.getsource(auth))) if isinstance(node, ast.Call)]
    assert [
        call.attr for call in calls if isinstance(call, ast.Attribute) and call.attr == hmac.compare_digest.__name__
    ]
    compared = [node for node in ast.walk(ast.parse(inspect.getsource(auth))) if isinstance(node, ast.Compare)]
    names = {leaf.id for node in compared for leaf in ast.walk(node) if isinstance(leaf, ast.Name)}
    assert not names & {"given", "digest", "kept"}


def test_a_new_token_is_long_and_only_its_digest_is_kept() -> None:
    (one, kept), (two, _) = new_token(), new_token()
    assert one != two
    assert len(one) >= 40
    assert kept == hashed(one)
    assert one not in kept


async def test_who_asked_stands_in_the_task(bare: Site) -> None:
    await bare.pool.create("disk0", 4096)
    url = f"http://127.0.0.1:{bare.port}{BASE}/storage/ceph/volume/local/disk0/upload"
    async with bare.network.post(
        url, params={"image_format": "raw"}, data=b"x", headers={"X-Api-Key": TOKEN}
    ) as answer:
        assert answer.status == 200
    await bare.ask("POST", "/storage/ceph/volume/local/disk0/upload", {"image_format": "raw"}, data=b"x")
    assert {task.who for task in await bare.tasks()} == {'token "me"', "root"}
