"""ZooKeeper through kazoo: one session, and the requests it can be asked. With `connecting`, all that knows of kazoo.

kazoo speaks from one thread of its own and calls back on others. Everything goes to it from one sender thread,
because its send can block, and comes back to the event loop by `Link.tell`. kazoo's retries and its habit of going
on with a new session after a loss are both off: what was lost with a session is for the owner to decide.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, Self

from kazoo.client import KazooClient, TransactionRequest
from kazoo.exceptions import (
    BadVersionError,
    ConnectionLoss,
    NoAuthError,
    NoChildrenForEphemeralsError,
    NodeExistsError,
    NoNodeError,
    NotEmptyError,
    RolledBackError,
    SessionExpiredError,
)
from kazoo.interfaces import IAsyncResult
from kazoo.protocol.states import EventType, KazooState, WatchedEvent, ZnodeStat
from kazoo.security import ACL, OPEN_ACL_UNSAFE, make_digest_acl

from pvc.errors import AlreadyExists, Changed, Conflict, NotFound, NotPermitted, PVCError, SessionLost, StoreUnavailable
from pvc.store.access import Access
from pvc.store.base import About, Check, Create, Delete, Entry, Operation, Put, Topic
from pvc.store.bells import Bells
from pvc.store.connecting import OneSession

# Seconds to wait for the first connection, and for the server to hear of an end.
_OPEN_S = 5.0
_CLOSE_S = 5.0
# Seconds, at least and at most, that one server has to take a connection and to finish a message it began.
_PATIENCE_LEAST_S, _PATIENCE_MOST_S = 1.0, 5.0
# Seconds until a request counts as unanswered, at most; never so long that the session is over by then.
_ANSWER_S = 10.0
# Requests that kazoo may have in hand: batches at once, requests in a batch. kazoo wakes its connection thread by one
# byte a request through a socket pair that takes 278 on Linux and then blocks, also its own `stop`; bytes of requests
# that died with a connection stay in there for a while, so three times what is in hand must fit.
_BATCHES = 3
_BATCH = 25
# ZooKeeper takes the version -1 for "any"; no record ever reaches this one.
_NO_VERSION = 2**31 - 1

_Watcher = Callable[[WatchedEvent], object]
_REFUSALS = (NoNodeError, NodeExistsError, BadVersionError, NotEmptyError, NoChildrenForEphemeralsError, NoAuthError)


@dataclass(frozen=True, slots=True)
class Request:
    """read: turns kazoo's answer into ours."""

    path: str
    send: Callable[[KazooClient], IAsyncResult]
    read: Callable[[Any], Any] = lambda answer: answer


class Link:
    """One session: kazoo's client, its sender thread, and what the event loop knows of its state.

    up: set while requests may be sent, and for good once the session is lost. revision: the newest zxid that an answer
    came with; every watch that a change up to it triggered has rung. owner: who may use what this session creates, and
    nobody else.
    """

    def __init__(self, hosts: Sequence[str], timeout_s: float, access: Access) -> None:
        self._loop = asyncio.get_running_loop()
        self._handler = OneSession(min(max(timeout_s / 4, _PATIENCE_LEAST_S), _PATIENCE_MOST_S), access.tls)
        self._hosts = ", ".join(hosts)
        self._timeout_s = timeout_s
        self._answer_s = min(timeout_s * 2 / 3, _ANSWER_S)
        self._sender = ThreadPoolExecutor(1, thread_name_prefix="zookeeper")
        self._room = asyncio.Semaphore(_BATCHES)
        self._waiting: set[asyncio.Future[None]] = set()
        self._expiry: asyncio.TimerHandle | None = None
        self._stopped: asyncio.Future[None] = self._loop.create_future()
        self._reason = ""
        self.session_id = 0
        self.revision = 0
        self.bells = Bells()
        self.lost = asyncio.Event()
        self.up = asyncio.Event()
        self.on_up: Callable[[], object] = lambda: None
        acl = [make_digest_acl(access.user, access.password, all=True)] if access.user else OPEN_ACL_UNSAFE
        self.owner = _user(acl[0])
        self._client = KazooClient(
            ",".join(hosts),
            timeout_s,
            handler=self._handler,
            connection_retry={"max_tries": -1, "max_delay": 1.0},
            default_acl=acl,
            auth_data=[("digest", f"{access.user}:{access.password}")] if access.user else [],
        )
        self._client.add_listener(self._heard)

    @classmethod
    async def open(cls, hosts: Sequence[str], timeout_s: float, access: Access) -> Self:
        try:
            link = cls(hosts, timeout_s, access)
        except ValueError as exc:
            raise StoreUnavailable(reason=f'"{", ".join(hosts)}" does not name ZooKeeper servers: {exc}') from exc
        link._client.start_async()
        try:
            async with asyncio.timeout(_OPEN_S):
                await link.up.wait()
        except TimeoutError as exc:
            link.lose("it was never opened")
            silent = f"no ZooKeeper server answered within {_OPEN_S:g} s ({link._hosts})"
            raise StoreUnavailable(reason=link._handler.distrust or silent) from exc
        except asyncio.CancelledError:
            link.lose("it was never opened")
            raise
        link.refuse_if_down()
        return link

    async def aclose(self) -> None:
        """Return when the server knows, or after a few seconds: then the session ends by its timeout."""
        self.lose("its session is closed")
        await asyncio.wait([self._stopped], timeout=_CLOSE_S)

    def refuse_if_down(self) -> None:
        if self.lost.is_set() or not self.up.is_set():
            raise self._refusal()

    def _refusal(self) -> StoreUnavailable:
        if self.lost.is_set():
            return SessionLost(reason=self._reason)
        return StoreUnavailable(reason=f"the connection to ZooKeeper is broken ({self._hosts})")

    async def ask(self, *requests: Request) -> list[Any]:
        """As `attempt`, of records that are ours: one that is taken away from us is not available."""
        answers = await self.attempt(*requests)
        for answer in answers:
            if isinstance(answer, NotPermitted):
                raise StoreUnavailable(reason=str(answer)) from answer
        return answers

    async def attempt(self, *requests: Request) -> list[Any]:
        """Send all without waiting in between; an answer is a value, or the PVCError that refuses it."""
        answers: list[Any] = []
        for start in range(0, len(requests), _BATCH):
            answers += await self._ask(requests[start : start + _BATCH])
        return answers

    async def _ask(self, requests: Sequence[Request]) -> list[Any]:
        self.refuse_if_down()
        answered: asyncio.Future[None] = self._loop.create_future()
        self._waiting.add(answered)
        try:
            async with asyncio.timeout(self._answer_s):
                await self._room.acquire()
                if answered.done():  # given up while there was no room: never sent
                    self._room.release()
                    raise self._refusal()
                results = await asyncio.shield(self._send(requests, answered))
                await answered
        except TimeoutError as exc:
            raise StoreUnavailable(reason=f"ZooKeeper did not answer within {self._answer_s:g} s") from exc
        finally:
            self._waiting.discard(answered)
        return [self._answer(request, result) for request, result in zip(requests, results, strict=True)]

    def _send(self, requests: Sequence[Request], answered: asyncio.Future[None]) -> asyncio.Future[list[IAsyncResult]]:
        """Whoever waits may go: the room they take is free when kazoo is done with them, which it is in their order."""

        def send() -> list[IAsyncResult]:
            try:
                results = [request.send(self._client) for request in requests]
            except BaseException:
                self.tell(self._room.release)
                raise
            results[-1].rawlink(lambda _: self.tell(self._answered, answered, self._client.last_zxid))
            return results

        return self._loop.run_in_executor(self._sender, send)

    def _answered(self, answered: asyncio.Future[None], zxid: int) -> None:
        self.revision = max(self.revision, zxid)
        self._room.release()
        _settle(answered)

    def _answer(self, request: Request, result: IAsyncResult) -> Any:
        if not result.ready():
            raise self._refusal()
        if result.successful():
            return request.read(result.value)
        if isinstance(result.exception, _REFUSALS):
            return _named(result.exception, request.path)
        if isinstance(result.exception, SessionExpiredError):
            self.lose("ZooKeeper ended its session")
        elif isinstance(result.exception, Exception) and not isinstance(result.exception, ConnectionLoss):
            raise _named(result.exception, request.path) from result.exception
        raise self._refusal() from result.exception

    def tell(self, callback: Callable[..., object], *args: object) -> None:
        """On any thread: call back on the event loop."""
        with suppress(RuntimeError):  # the loop is closed: nobody is left to be told
            self._loop.call_soon_threadsafe(callback, *args)

    def record_rang(self, event: WatchedEvent) -> None:
        self._rang(About.RECORD, event)

    def children_rang(self, event: WatchedEvent) -> None:
        self._rang(About.CHILDREN, event)

    def _rang(self, about: About, event: WatchedEvent) -> None:
        """On a thread of kazoo's. NONE is not about a record: the connection broke, which `_heard` hears as well."""
        if event.type != EventType.NONE:
            self.tell(self.bells.ring, [Topic(about, event.path)])

    def _heard(self, state: str) -> None:
        """On kazoo's connection thread, which goes on only when this returns."""
        if state == KazooState.LOST:
            self._handler.over = True
        elif state == KazooState.CONNECTED and self._client.client_id is not None:
            self.session_id = self._client.client_id[0]
        self.tell(self._changed, state)

    def _changed(self, state: str) -> None:
        if self.lost.is_set():
            return
        if state == KazooState.CONNECTED:
            self._connected()
        elif state == KazooState.SUSPENDED:
            self._suspended()
        else:
            self.lose("ZooKeeper ended its session")

    def _connected(self) -> None:
        if self._expiry is not None:
            self._expiry.cancel()
        # Goes before every request from now on: what is read back is never older than a write that was cut off.
        self._sender.submit(self._client.sync_async, "/")
        self.up.set()
        self.on_up()

    def _suspended(self) -> None:
        """ZooKeeper ends the session after its timeout, and cannot tell us while we are cut off: count it here."""
        self.up.clear()
        reason = f"ZooKeeper was away for {self._timeout_s:g} s, the session's timeout"
        self._expiry = self._loop.call_later(self._timeout_s, self.lose, reason)
        self._give_up_waiting()
        self.bells.ring_all()

    def _give_up_waiting(self) -> None:
        for answered in self._waiting:
            _settle(answered)

    def lose(self, reason: str) -> None:
        """The end, whoever brings it. A second call changes nothing."""
        if self.lost.is_set():
            return
        self._reason = reason
        self._handler.over = True
        if self._expiry is not None:
            self._expiry.cancel()
        self.lost.set()
        self.up.set()
        self._give_up_waiting()
        self.bells.end(reason)
        self._sender.shutdown(wait=False)
        threading.Thread(target=self._stop, name="zookeeper-stop", daemon=True).start()

    def _stop(self) -> None:
        try:
            self._client.stop()
            self._client.close()
        finally:
            self.tell(_settle, self._stopped)


def _settle(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


def get(path: str, watch: _Watcher | None = None) -> Request:
    """Answers an Entry. The watch is set only where the record exists."""
    return Request(path, lambda client: client.get_async(path, watch=watch), _read_entry)


def _read_entry(answer: tuple[bytes, ZnodeStat]) -> Entry:
    return Entry(answer[0], answer[1].version)


def sync() -> Request:
    """Answers when this server has what the leader has: its zxid is no less than that of any change answered before."""
    return Request("/", lambda client: client.sync_async("/"))


def exists(path: str, watch: _Watcher | None = None) -> Request:
    """Answers (version, session that owns it or 0), or None. The watch is set in either case."""
    return Request(path, lambda client: client.exists_async(path, watch=watch), _read_stat)


def _read_stat(stat: ZnodeStat | None) -> tuple[int, int] | None:
    return None if stat is None else (stat.version, stat.ephemeralOwner)


def children(path: str, watch: _Watcher | None = None) -> Request:
    """Answers names, in no order. The watch is set only where the record exists."""
    return Request(path, lambda client: client.get_children_async(path, watch=watch))


def users(path: str) -> Request:
    """Answers everybody who may do anything with the record, as "SCHEME:ID"."""
    return Request(path, lambda client: client.get_acls_async(path), lambda answer: frozenset(map(_user, answer[0])))


def _user(acl: ACL) -> str:
    return f"{acl.id.scheme}:{acl.id.id}"


def create(path: str, value: bytes = b"", *, ephemeral: bool = False) -> Request:
    return Request(path, lambda client: client.create_async(path, value, ephemeral=ephemeral))


def delete(path: str, version: int) -> Request:
    return Request(path, lambda client: client.delete_async(path, _real(version)))


def commit(operations: Sequence[Operation]) -> Request:
    """Answers None, or the refusal of the first operation that failed: kazoo hides it among the results."""

    def send(client: KazooClient) -> IAsyncResult:
        transaction = client.transaction()
        for operation in operations:
            _add(transaction, operation)
        return transaction.commit_async()

    return Request("", send, partial(_first_refusal, operations))


def _first_refusal(operations: Sequence[Operation], results: list[object]) -> PVCError | None:
    for operation, result in zip(operations, results, strict=True):
        if isinstance(result, Exception) and not isinstance(result, RolledBackError):
            return _named(result, operation.path)
    return None


def _add(transaction: TransactionRequest, operation: Operation) -> None:
    match operation:
        case Create(path, value, ephemeral):
            transaction.create(path, value, ephemeral=ephemeral)
        case Put(path, value, version):
            transaction.set_data(path, value, _real(version))
        case Delete(path, version):
            transaction.delete(path, _real(version))
        case Check(path, version):
            transaction.check(path, _real(version))


def _real(version: int) -> int:
    return version if version >= 0 else _NO_VERSION


def _named(refusal: Exception, path: str) -> PVCError:
    error = _as_ours(refusal, path)
    error.__cause__ = refusal
    return error


def _as_ours(refusal: Exception, path: str) -> PVCError:
    match refusal:
        case NoNodeError():
            return NotFound(kind="record", name=path)
        case NodeExistsError():
            return AlreadyExists(kind="record", name=path)
        case BadVersionError():
            return Changed(kind="record", name=path)
        case NotEmptyError():
            return Conflict(kind="record", name=path, problem="has records below it")
        case NoChildrenForEphemeralsError():
            return Conflict(kind="record", name=path, problem="cannot stand below an ephemeral record")
        case NoAuthError():
            return NotPermitted(problem=f'ZooKeeper does not let this pvc use "{path}"')
        case _:
            return StoreUnavailable(reason=f"ZooKeeper refused with {type(refusal).__name__}")
