"""An API that records what it is asked and answers as it is told, on a unix socket or on TCP."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from queue import SimpleQueue
from socketserver import BaseServer, ThreadingTCPServer, ThreadingUnixStreamServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

BASE = "/api/v1"


@dataclass(frozen=True)
class Request:
    method: str
    path: str  # as it was sent, below BASE
    query: dict[str, list[str]]
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body) if self.body else None


@dataclass(frozen=True)
class Answer:
    """body: JSON, or bytes to be sent as they are. early: sent before the request's body is read, which it never is.

    endless: after the body the connection stays open. more: what comes then, b"" being its end.
    short: the last byte that was promised never comes. cut: bytes of the request's body after which the connection
    breaks.
    """

    body: Any = field(default_factory=lambda: {"message": "Done."})
    status: int = 200
    early: bool = False
    endless: bool = False
    more: SimpleQueue[bytes] | None = None
    breaks: bool = False
    short: bool = False
    cut: int = 0


class FakeAPI:
    """`answers` by "METHOD /path": each is used up but the last. otherwise: the answer to what is not told."""

    def __init__(self) -> None:
        self.url = ""
        self.requests: list[Request] = []
        self.otherwise = Answer()
        self.answers: dict[str, list[Answer]] = {}
        self.held: dict[str, tuple[str, threading.Event]] = {}
        self.closing = threading.Event()

    def tell(self, what: str, *answers: Answer) -> None:
        self.answers[what] = list(answers)

    def hold(self, what: str, *, until: str) -> None:
        """Answer `what` only when `until` has been given its last answer."""
        self.held[what] = (until, threading.Event())

    def answer_to(self, method: str, path: str) -> Answer:
        what = f"{method} {path}"
        told = self.answers.get(what, [self.otherwise])
        if len(told) > 1:
            return told.pop(0)
        for until, released in self.held.values():
            if until == what:
                released.set()
        return told[0]

    def wait_if_held(self, method: str, path: str) -> None:
        if held := self.held.get(f"{method} {path}"):
            held[1].wait(timeout=20)

    @property
    def request(self) -> Request:
        (only,) = self.requests
        return only

    @property
    def change(self) -> Request:
        """The only request that was more than a question: who waits asks how far it is."""
        (only,) = (request for request in self.requests if request.method != "GET")
        return only

    @contextmanager
    def listening(self, address: str | tuple[str, int]) -> Iterator[FakeAPI]:
        server = _UnixServer(address, self) if isinstance(address, str) else _TCPServer(address, self)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        self.url = server.url
        try:
            yield self
        finally:
            self.closing.set()
            server.shutdown()
            server.server_close()
            thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def _handle(self) -> None:
        api: FakeAPI = self.server.api  # type: ignore[attr-defined]
        parts = urlsplit(self.path)
        path = parts.path.removeprefix(BASE)
        answer = api.answer_to(self.command, path)
        body = b"" if answer.early else self.rfile.read(answer.cut) if answer.cut else self._body()
        query = parse_qs(parts.query, keep_blank_values=True)
        headers = {name.lower(): value for name, value in self.headers.items()}
        api.requests.append(Request(self.command, path, query, headers, body))
        self.close_connection = True
        api.wait_if_held(self.command, path)
        if not answer.breaks and not answer.cut:
            self._answer(answer, api)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _handle  # noqa: N815

    def _answer(self, answer: Answer, api: FakeAPI) -> None:
        raw = isinstance(answer.body, bytes)
        data = answer.body if raw else json.dumps(answer.body).encode()
        self.send_response(answer.status)
        self.send_header("Content-Type", "text/plain" if raw else "application/json")
        if not answer.endless:
            self.send_header("Content-Length", str(len(data) + answer.short))
        self.end_headers()
        self.wfile.write(data)
        while answer.more and (piece := answer.more.get(timeout=20)):
            self.wfile.write(piece)
        if answer.endless and not answer.more:
            api.closing.wait()

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        body = b""
        while size := int(self.rfile.readline(), 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def log_message(self, *_: object) -> None:
        pass

    def address_string(self) -> str:
        return "client"


class _Quiet(BaseServer):
    daemon_threads = True
    allow_reuse_address = True

    def handle_error(self, *_: object) -> None:
        """A client that goes away is part of some tests."""


class _UnixServer(_Quiet, ThreadingUnixStreamServer):
    def __init__(self, address: str, api: FakeAPI) -> None:
        self.api, self.url = api, f"unix:{address}"
        super().__init__(address, _Handler)


class _TCPServer(_Quiet, ThreadingTCPServer):
    def __init__(self, address: tuple[str, int], api: FakeAPI) -> None:
        self.api = api
        super().__init__(address, _Handler)
        self.url = f"http://127.0.0.1:{self.socket.getsockname()[1]}"
