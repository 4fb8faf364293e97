"""Images that this server fetches itself, from where its configuration allows it and from nowhere else."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from urllib.parse import urljoin

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import ThreadedResolver
from yarl import URL

from pvc.addresses import Address, allowed
from pvc.config import Upload as Limits
from pvc.errors import NotPermitted, Timeout, Unavailable

_MOST_REDIRECTS = 5
_REDIRECTS = frozenset((301, 302, 303, 307, 308))


@asynccontextmanager
async def fetched(url: str, limits: Limits) -> AsyncIterator[tuple[AsyncIterator[bytes], int | None]]:
    """The content, and how long it is where that is told. Raises NotPermitted, Unavailable, Timeout."""
    address = check(url, limits.fetch_from)
    connector = aiohttp.TCPConnector(resolver=_Resolver())
    wait = aiohttp.ClientTimeout(total=limits.fetch_s)
    async with aiohttp.ClientSession(
        connector=connector, timeout=wait, auto_decompress=False, trust_env=False, cookie_jar=aiohttp.DummyCookieJar()
    ) as client:
        with _in_words(address, limits):
            answer = await _begun(client, url, address, limits)
        async with answer:
            yield _content(answer, address, limits), answer.content_length


def check(url: str, beginnings: Sequence[str]) -> Address:
    """Raises NotPermitted."""
    if (address := allowed(url, beginnings)) is not None:
        return address
    if not beginnings:
        raise NotPermitted(problem="This server fetches no images: its upload.fetch_from is empty")
    raise NotPermitted(problem="The address is not below one of upload.fetch_from, or not a plain one")


async def _begun(client: aiohttp.ClientSession, url: str, address: Address, limits: Limits) -> aiohttp.ClientResponse:
    try:
        async with asyncio.timeout(limits.idle_timeout_s):
            return await _answer(client, url, limits.fetch_from)
    except TimeoutError as exc:
        raise Timeout(what=f'An answer of "{address.shown}"', timeout_s=limits.idle_timeout_s) from exc


async def _answer(client: aiohttp.ClientSession, url: str, beginnings: Sequence[str]) -> aiohttp.ClientResponse:
    """Each address on the way is one that is allowed."""
    for _ in range(_MOST_REDIRECTS + 1):
        address = check(url, beginnings)
        asking = {"Accept-Encoding": "identity"}
        answer = await client.get(URL(url, encoded=True), allow_redirects=False, headers=asking)
        if answer.status in _REDIRECTS and "Location" in answer.headers:
            answer.close()
            url = _joined(url, answer.headers["Location"])
            continue
        problem = _problem(answer)
        if problem:
            answer.close()
            raise Unavailable(what=f'"{address.shown}"', reason=problem)
        return answer
    raise Unavailable(what=f'"{address.shown}"', reason=f"it redirects more than {_MOST_REDIRECTS} times")


def _joined(url: str, aim: str) -> str:
    """Where a redirect leads, "" where that is no address."""
    try:
        return urljoin(url, aim)
    except ValueError:
        return ""


def _problem(answer: aiohttp.ClientResponse) -> str:
    if answer.status != 200:
        return f"it answers {answer.status} {answer.reason}"
    if answer.headers.get("Content-Encoding", "identity").lower() != "identity":
        return "it sends something else than the file as it is"
    return ""


async def _content(answer: aiohttp.ClientResponse, address: Address, limits: Limits) -> AsyncIterator[bytes]:
    with _in_words(address, limits):
        while data := await answer.content.readany():
            yield data


@contextmanager
def _in_words(address: Address, limits: Limits) -> Iterator[None]:
    try:
        yield
    except TimeoutError as exc:
        raise Timeout(what=f'The end of "{address.shown}"', timeout_s=limits.fetch_s) from exc
    except (aiohttp.ClientError, OSError) as exc:
        raise Unavailable(what=f'"{address.shown}"', reason=str(exc) or type(exc).__name__) from exc


class _Resolver(AbstractResolver):
    """A name may not lead to this machine itself or to its link; an address that is listed as such is not asked for."""

    def __init__(self) -> None:
        self._resolver = ThreadedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        found = await self._resolver.resolve(host, port, family)
        fit = [one for one in found if is_elsewhere(one["host"])]
        if not fit:
            raise OSError(f'"{host}" leads to this machine or to none')
        return fit

    async def close(self) -> None:
        await self._resolver.close()


def is_elsewhere(host: str) -> bool:
    """Whether an IP address can be a machine that serves images to others."""
    address = ipaddress.ip_address(host.partition("%")[0])
    mapped = getattr(address, "ipv4_mapped", None)
    if mapped is not None:
        return is_elsewhere(str(mapped))
    return not (address.is_loopback or address.is_link_local or address.is_unspecified or address.is_multicast)
