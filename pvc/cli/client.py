"""The API as the commands see it: one method per HTTP verb, JSON in and out, Failure when it says no."""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, BinaryIO

from pvc.cli import sparse
from pvc.cli.body import answered, send
from pvc.cli.connection import connect, is_private
from pvc.cli.failure import Failure

if TYPE_CHECKING:
    from http.client import HTTPConnection, HTTPResponse

_PIECE = 1 << 20  # of an answer that is streamed

# Seconds after which whoever waits for a change is told for what.
PATIENCE_S = 2.0

Parameter = str | int | float | bool | list[str] | None

# What an answer without a code of its own amounts to: some proxy's, or not pvc at all.
_CODES = {400: "invalid_input", 401: "unauthenticated", 403: "not_permitted", 404: "not_found"}
_CODES |= {409: "conflict", 413: "too_large", 501: "not_built", 502: "unavailable", 503: "unavailable", 504: "timeout"}


class Client:
    """One connection per request; parameters that are None are left out.

    `path` is given in segments, each quoted here, so a name can never reach another resource.
    note: told `meanwhile`, once, when a change is not answered soon.
    """

    def __init__(self, url: str, *, token: str = "", ca: str = "") -> None:
        self.url = url
        self._token = token
        self._ca = ca
        self.note: Callable[[str], None] = lambda _text: None
        self.meanwhile = "Waiting for the answer. Ctrl-C leaves what was asked for going on."

    def get(self, *path: str, **parameters: Parameter) -> Any:
        return self._ask("GET", _target(path, parameters))

    def delete(self, *path: str, **parameters: Parameter) -> Any:
        return self._ask("DELETE", _target(path, parameters))

    def post(self, *path: str, **parameters: Parameter) -> Any:
        return self._ask("POST", _target(path), _json(parameters))

    def post_in_query(self, *path: str, **parameters: Parameter) -> Any:
        """For what takes an image as its body otherwise."""
        return self._ask("POST", _target(path, parameters))

    def put(self, *path: str, **parameters: Parameter) -> Any:
        return self._ask("PUT", _target(path), _json(parameters))

    def raw(self, *path: str, passphrase: str = "", **parameters: Parameter) -> bytes:
        """An answer as it was sent, whole."""
        with self._spoken():
            connection = self._request("GET", _target(path, parameters), passphrase)
            connection.endheaders()
            response = connection.getresponse()
            if response.status != 200:
                _read(response)
            return response.read()

    def document(self, *path: str, data: bytes, passphrase: str = "", **parameters: Parameter) -> Any:
        """POST a backup as the request's body; what else there is to say goes into the query, but no passphrase."""
        kind = "application/vnd.pvc.backup+json"
        return self._ask("POST", _target(path, parameters), data, kind, passphrase)

    def one(self, *path: str) -> dict[str, Any]:
        """Return the element that the API answers as a list of one."""
        found: list[dict[str, Any]] = self.get(*path)
        if not found:
            raise Failure("not_found", f'No {path[-2]} "{path[-1]}".', {"kind": path[-2], "name": path[-1]})
        return found[0]

    def stream(
        self, *path: str, began: Callable[[int | None], None] = lambda _: None, **parameters: Parameter
    ) -> Generator[bytes, None, None]:
        """Yield an answer piece by piece as it comes, perhaps without end.

        began: told how many bytes there will be, None when only the end will tell.
        """
        with self._spoken():
            connection = self._request("GET", _target(path, parameters))
            connection.endheaders()
            response = connection.getresponse()
            try:
                if response.status != 200:
                    _read(response)
                began(response.length)
                while piece := response.read1(_PIECE):
                    yield piece
                if response.length:
                    raise Failure("unreachable", "The server broke off before the end; its log says why.")
            finally:
                response.close()
                connection.close()

    def upload(
        self,
        path: tuple[str, ...],
        source: BinaryIO,
        size: int | None,
        *,
        runs: Sequence[sparse.Run] | None,
        sent: Callable[[int], None],
        meanwhile: Callable[[Callable[[float], bool]], None],
        begin: int | None = None,
        **parameters: Parameter,
    ) -> Any:
        """Send `source` as the raw body of a POST and return the answer.

        size: bytes, None when only the end of `source` will tell. runs: what of it is data, all when None. sent: told
        how many bytes are gone so far. begin: go on from there with an upload that broke off.
        meanwhile: called between the last byte and the answer, with a function that waits for the answer up to
        some seconds and says whether it is there.
        """
        with self._spoken():
            connection = self._request("POST" if begin is None else "PATCH", _target(path, parameters))
            connection.putheader("Content-Type", "application/octet-stream" if runs is None else sparse.CONTENT_TYPE)
            if begin is not None:
                connection.putheader("Upload-Offset", str(begin))
            length = None if size is None else size - (begin or 0)
            if runs is not None:
                runs = sparse.rest(runs, begin or 0)
                length = sparse.length(runs)
            chunked, known = ("Transfer-Encoding", "chunked"), ("Content-Length", str(length))
            connection.putheader(*(chunked if length is None else known))
            connection.endheaders()
            if send(connection.sock, source, size, sent, runs, begin or 0):
                meanwhile(lambda timeout_s: answered(connection.sock, timeout_s))
            return _read(connection.getresponse())

    def _ask(
        self, method: str, target: str, body: bytes = b"", kind: str = "application/json", passphrase: str = ""
    ) -> Any:
        with self._spoken():
            connection = self._request(method, target, passphrase)
            if body:
                connection.putheader("Content-Type", kind)
            if body or method in ("POST", "PUT"):
                connection.putheader("Content-Length", str(len(body)))
            with suppress(BrokenPipeError, ConnectionResetError):  # refused before all was read: the answer says why
                connection.endheaders(body)
            if method != "GET" and not answered(connection.sock, PATIENCE_S):
                self.note(self.meanwhile)
            return _read(connection.getresponse())

    def _request(self, method: str, target: str, passphrase: str = "") -> HTTPConnection:
        connection = connect(self.url, self._ca)
        if passphrase and not is_private(connection):
            problem = (
                f'A passphrase is not sent to "{self.url}", where others can read it: use https or the local socket.'
            )
            raise Failure("not_permitted", problem)
        connection.putrequest(method, target, skip_accept_encoding=True)
        connection.putheader("Accept", "application/json")
        connection.putheader("Connection", "close")
        if self._token:
            connection.putheader("X-Api-Key", self._token)
        if passphrase:
            connection.putheader("X-Pvc-Passphrase", passphrase.encode(errors="surrogateescape"))
        return connection

    @contextmanager
    def _spoken(self) -> Iterator[None]:
        """Turn a connection that breaks, or does not speak HTTP, into a Failure."""
        try:
            yield
        except OSError as exc:
            problem = f'The connection to "{self.url}" broke; what was asked may still have happened: '
            raise Failure("unreachable", problem + (exc.strerror or str(exc))) from exc
        except Exception as exc:
            from http.client import HTTPException

            if not isinstance(exc, HTTPException):
                raise
            raise Failure("unreachable", f'What answers at "{self.url}" is not a pvc serve: {exc!r}') from exc


def _read(response: HTTPResponse) -> Any:
    body = response.read()
    try:
        answer = json.loads(body)
    except ValueError as exc:
        if response.status < 400:
            raise Failure("unreachable", "The server answered something that is not JSON.") from exc
        answer = None
    if response.status < 400:
        return answer
    fields = answer if isinstance(answer, dict) else {}
    code = fields.get("code") or _CODES.get(response.status, "internal")
    text = fields.get("message") or f"The server answered {response.status} {response.reason}."
    raise Failure(str(code), str(text), fields.get("fields"))


def _given(parameters: dict[str, Parameter]) -> dict[str, Parameter]:
    return {name: value for name, value in parameters.items() if value is not None}


def _json(parameters: dict[str, Parameter]) -> bytes:
    given = _given(parameters)
    return json.dumps(given).encode() if given else b""


def _target(path: tuple[str, ...], parameters: dict[str, Parameter] | None = None) -> str:
    from urllib.parse import quote, urlencode

    for segment in path:
        if segment in ("", ".", ".."):
            raise Failure("invalid_input", f'"{segment}" cannot be a name.')
    segments = "/".join(quote(segment, safe="", errors="surrogateescape") for segment in path)
    query = {name: _text(value) for name, value in _given(parameters or {}).items()}
    return f"/api/v1/{segments}" + (f"?{urlencode(query, doseq=True, errors='surrogateescape')}" if query else "")


def _text(value: Parameter) -> object:
    return str(value).lower() if isinstance(value, bool) else value
