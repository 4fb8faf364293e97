"""Who may speak: settled before anything is read."""

from __future__ import annotations

import ast
import asyncio
import hmac
import inspect
import json

import pytest
from yarl import URL

from pvc.cluster import tokens
from pvc.cluster.tokens import digest
from pvc.errors import NotFound, StoreUnavailable
from pvc.model.records import Role
from pvc.server import auth
from pvc.server.auth import BOOK, TokenBook
from pvc.server.revision import HEADER
from pvc.store.base import Put, Store
from pvc.store.paths import TOKENS as TOKEN_FOLDER
from tests.unit.server.site import BASE, TOKEN, TOKENS, Site


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
    ["", " ", TOKEN[:-1], TOKEN[1:], TOKEN + "x", TOKEN.upper(), digest(TOKEN), "sha256:", "\xff\xfe", "a" * 7000],
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
    calls = [node.func for node in ast.walk(ast.parse(inspect.getsource(tokens))) if isinstance(node, ast.Call)]
    assert [
        call.attr for call in calls if isinstance(call, ast.Attribute) and call.attr == hmac.compare_digest.__name__
    ]
    compared = [node for node in ast.walk(ast.parse(inspect.getsource(tokens))) if isinstance(node, ast.Compare)]
    names = {leaf.id for node in compared for leaf in ast.walk(node) if isinstance(leaf, ast.Name)}
    assert not names & {"given", "digest", "wanted", "found"}


async def test_who_asked_stands_in_the_task(bare: Site) -> None:
    await bare.pool.create("disk0", 4096)
    url = f"http://127.0.0.1:{bare.port}{BASE}/storage/ceph/volume/local/disk0/upload"
    async with bare.network.post(
        url, params={"image_format": "raw"}, data=b"x", headers={"X-Api-Key": TOKEN}
    ) as answer:
        assert answer.status == 200
    await bare.ask("POST", "/storage/ceph/volume/local/disk0/upload", {"image_format": "raw"}, data=b"x")
    assert {task.who for task in await bare.tasks()} == {'token "operate"', "root"}


@pytest.mark.parametrize(
    ("role", "method", "path", "status"),
    [
        ("read", "GET", "/vm", 200),
        ("read", "HEAD", "/vm", 200),
        ("read", "DELETE", "/vm/absent", 403),
        ("read", "POST", "/nonsense", 403),
        ("read", "POST", "/backup", 403),
        ("read", "GET", "/tokens", 403),
        ("operate", "GET", "/vm", 200),
        ("operate", "DELETE", "/vm/absent", 404),
        ("operate", "GET", "/tokens", 403),
        ("operate", "POST", "/tokens", 403),
        ("operate", "DELETE", "/tokens/read", 403),
        ("admin", "GET", "/tokens", 200),
        ("admin", "DELETE", "/vm/absent", 404),
    ],
)
async def test_a_token_may_do_what_its_role_says(bare: Site, role: Role, method: str, path: str, status: int) -> None:
    before = await bare.everything()
    url, headers = f"http://127.0.0.1:{bare.port}{BASE}{path}", {"X-Api-Key": TOKENS[Role(role)]}
    async with bare.network.request(method, url, headers=headers) as answer:
        assert answer.status == status
        if status == 403:
            told = await answer.json()
            assert told["code"] == "not_permitted"
            assert told["message"].endswith(f'yours has "{role}".')
    assert await bare.everything() == before


async def test_a_token_is_shown_once_and_works_until_it_is_revoked(bare: Site) -> None:
    made = await bare.ask("POST", "/tokens", {"name": "backup", "role": "read"})
    assert made.message.startswith('Made token "backup" with the role "read".')
    headers = {"X-Api-Key": made.body["token"]}
    assert len(headers["X-Api-Key"]) >= 40
    assert await status_with(bare, headers) == 200
    listed = await bare.ask("GET", "/tokens")
    assert {one["name"]: (one["role"], one["created_by"]) for one in listed.body}["backup"] == ("read", "root")
    assert made.body["token"] not in str(listed.body)
    assert made.body["token"].encode() not in (await bare.state.store.get(f"{TOKEN_FOLDER}/backup")).value
    assert (await bare.ask("DELETE", "/tokens/backup")).message == 'Revoked token "backup".'
    assert await status_with(bare, headers) == 401


async def status_with(site: Site, headers: dict[str, str]) -> int:
    async with site.network.get(f"http://127.0.0.1:{site.port}{BASE}/vm", headers=headers) as answer:
        return answer.status


async def test_two_tokens_never_have_one_name(bare: Site) -> None:
    answer = await bare.ask("POST", "/tokens", {"name": "read", "role": "admin"})
    assert (answer.status, answer.code) == (409, "already_exists")
    assert await status_with(bare, {"X-Api-Key": TOKENS[Role.READ]}) == 200


async def test_a_token_that_another_server_revokes_is_refused(bare: Site) -> None:
    assert await status_with(bare, {"X-Api-Key": TOKENS[Role.READ]}) == 200
    await tokens.remove(bare.state, "read")
    async with asyncio.timeout(10):
        while await status_with(bare, {"X-Api-Key": TOKENS[Role.READ]}) != 401:
            pass
    assert await status_with(bare, {"X-Api-Key": TOKENS[Role.ADMIN]}) == 200


class Hesitant:
    """A store that says for one moment that there is no such list."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.refusals = 1

    async def children(self, path: str) -> list[str]:
        if self.refusals:
            self.refusals -= 1
            raise NotFound(kind="record", name=path)
        return await self._store.children(path)

    def __getattr__(self, name: str) -> object:
        return getattr(self._store, name)


async def test_tokens_are_followed_on_after_any_refusal(bare: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(auth, "_RETRY_S", 0.0)
    book = TokenBook()
    following = asyncio.create_task(book.follow(Hesitant(bare.state.store)))  # type: ignore[arg-type]
    async with asyncio.timeout(10):
        while "read" not in known(book):
            await asyncio.sleep(0)
        await tokens.remove(bare.state, "read")
        while "read" in known(book):
            await asyncio.sleep(0)
    following.cancel()


def known(book: TokenBook) -> set[str]:
    try:
        return {token.name for token in book.tokens}
    except StoreUnavailable:
        return set()


async def test_a_path_in_the_log_is_one_line(bare: Site, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO", "pvc"):
        url = f"http://127.0.0.1:{bare.port}{BASE}/vm/a%0A2030-01-01%20INFO%20pvc.access:%20root"
        async with bare.network.get(URL(url, encoded=True)) as answer:
            assert answer.status == 401
    assert caplog.messages
    assert not [line for line in caplog.messages if "\n" in line]


async def test_a_stranger_makes_no_work_for_the_store(bare: Site) -> None:
    url, headers = f"http://127.0.0.1:{bare.port}/healthz", {HEADER: "9" * 18}
    async with bare.network.get(url, headers=headers) as answer:
        assert answer.status == 200
        assert HEADER not in answer.headers


async def test_a_damaged_token_is_listed_and_refused(bare: Site) -> None:
    path = f"{TOKEN_FOLDER}/read"
    await bare.state.store.commit(Put(path, b"{}", (await bare.state.store.get(path)).version))
    await bare.app[BOOK].read(bare.state.store)
    assert await status_with(bare, {"X-Api-Key": TOKENS[Role.READ]}) == 401
    shown = {one["name"]: one["problem"] for one in (await bare.ask("GET", "/tokens")).body}
    assert shown["read"].startswith("The record cannot be read: ")
    assert shown["admin"] == ""


def test_before_the_tokens_were_read_nobody_is_called_unknown() -> None:
    with pytest.raises(StoreUnavailable):
        _ = TokenBook().tokens
