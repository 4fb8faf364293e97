"""A bare HTTP client over the unix socket: what it costs is mostly the server's."""

from __future__ import annotations

import http.client
import json
import os
import socket
import urllib.parse
from collections.abc import Callable
from pathlib import Path
from typing import Any

BOUNDARY = "bench-boundary-4f1d"
OPENING = (
    f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="image"\r\n'
    "Content-Type: application/octet-stream\r\n\r\n"
).encode()
CLOSING = f"\r\n--{BOUNDARY}--\r\n".encode()
PIECE = 64 << 20


def _nothing() -> None: ...


class API:
    def __init__(self, path: Path) -> None:
        self.path = path

    def ask(self, method: str, path: str, **parameters: str) -> Any:
        body = urllib.parse.urlencode(parameters).encode()
        with self._begin(method, path, len(body), "application/x-www-form-urlencoded") as connection:
            connection.sendall(body)
            return _answer(connection)

    def fetch(self, path: str) -> bytes:
        """The body of a GET, not looked into."""
        with connect(self.path) as connection:
            connection.sendall(f"GET /api/v1{path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
            return _body(connection)

    def upload(
        self, volume: str, image: Path, image_format: str, *, repeat: int = 1, between: Callable[[], None] = _nothing
    ) -> None:
        """Send the image as the request's body, `repeat` times over; call `between` after each 64 MiB."""
        size = image.stat().st_size * repeat
        with self._begin("POST", _upload(volume, image_format), size, "application/octet-stream") as connection:
            for _ in range(repeat):
                send_file(connection, image, between)
            _answer(connection)

    def upload_form(
        self, volume: str, image: Path, image_format: str, *, repeat: int = 1, between: Callable[[], None] = _nothing
    ) -> None:
        """The same as the field "file" of a form."""
        size = len(OPENING) + image.stat().st_size * repeat + len(CLOSING)
        kind = f"multipart/form-data; boundary={BOUNDARY}"
        with self._begin("POST", _upload(volume, image_format), size, kind) as connection:
            connection.sendall(OPENING)
            for _ in range(repeat):
                send_file(connection, image, between)
            connection.sendall(CLOSING)
            _answer(connection)

    def _begin(self, method: str, path: str, size: int, kind: str) -> socket.socket:
        connection = connect(self.path)
        fields = f"Host: localhost\r\nContent-Length: {size}\r\nContent-Type: {kind}\r\n\r\n"
        connection.sendall(f"{method} /api/v1{path} HTTP/1.1\r\n{fields}".encode())
        return connection


def connect(path: Path) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(str(path))
    return connection


def send_file(connection: socket.socket, image: Path, between: Callable[[], None] = _nothing) -> None:
    with image.open("rb") as source:
        while os.sendfile(connection.fileno(), source.fileno(), None, PIECE):
            between()


def _upload(volume: str, image_format: str) -> str:
    return f"/storage/ceph/volume/{volume}/upload?image_format={image_format}"


def _answer(connection: socket.socket) -> Any:
    return json.loads(_body(connection))


def _body(connection: socket.socket) -> bytes:
    response = http.client.HTTPResponse(connection)
    response.begin()
    text = response.read()
    if response.status >= 300:
        raise RuntimeError(f"{response.status}: {text.decode(errors='replace')}")
    return text
