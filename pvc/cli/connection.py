"""How to reach the API: a unix socket, or TCP with or without TLS.

Only https loads the `ssl` module, which would make every command start later.
"""

from __future__ import annotations

import socket
import sys
from typing import TYPE_CHECKING

from pvc.cli.failure import Failure

if TYPE_CHECKING:
    from http.client import HTTPConnection
    from ssl import SSLContext

DEFAULT_URL = "unix:/run/pvc/pvc.sock"
CONNECT_TIMEOUT_S = 10.0


def connect(url: str, ca: str = "") -> HTTPConnection:
    """Return an open connection that waits for answers without a limit.

    ca: file of the certificates (PEM) that https trusts; empty: the system's.
    Raises Failure: "usage" for a URL that is none, "unreachable", "not_permitted".
    """
    try:
        return _unix(url.removeprefix("unix:")) if url.startswith("unix:/") else _tcp(url, ca)
    except PermissionError as exc:
        problem = f'No permission to use "{url}": run pvc as root or name another server with -c.'
        raise Failure("not_permitted", problem) from exc
    except (FileNotFoundError, ConnectionRefusedError) as exc:
        problem = f'No pvc serve answers at "{url}": start it with "pvc serve" or name another with -c.'
        raise Failure("unreachable", problem) from exc
    except OSError as exc:
        if "WRONG_VERSION_NUMBER" in str(exc):
            raise Failure(
                "unreachable", f'What answers at "{url}" speaks no TLS: write http:// where it is pvc.'
            ) from exc
        raise Failure("unreachable", f'"{url}" cannot be reached: {exc.strerror or exc}') from exc


def is_private(connection: HTTPConnection) -> bool:
    """Whether nobody on a network can read what is sent."""
    from http.client import HTTPConnection

    if type(connection) is not HTTPConnection or connection.sock.family == socket.AF_UNIX:
        return True
    host = str(connection.sock.getpeername()[0])
    return host == "::1" or host.startswith("127.")


def _unix(path: str) -> HTTPConnection:
    _import_http_client(tls=False)
    from http.client import HTTPConnection

    connection = HTTPConnection("localhost")
    connection.sock = socket.socket(socket.AF_UNIX)
    connection.sock.connect(path)
    return connection


def _tcp(url: str, ca: str) -> HTTPConnection:
    tls, host, port = _parse(url)
    _import_http_client(tls=tls)
    from http import client

    if tls:
        trust = _trust(ca)
        connection: HTTPConnection = client.HTTPSConnection(host, port, timeout=CONNECT_TIMEOUT_S, context=trust)
    else:
        connection = client.HTTPConnection(host, port, timeout=CONNECT_TIMEOUT_S)
    connection.connect()
    connection.sock.settimeout(None)
    connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    return connection


def _parse(url: str) -> tuple[bool, str, int | None]:
    from urllib.parse import urlsplit

    try:
        parts = urlsplit(url)
        if parts.scheme in ("http", "https") and parts.hostname and not parts.path.strip("/"):
            return parts.scheme == "https", parts.hostname, parts.port
    except ValueError:
        pass  # a port or an IPv6 address that is none: told below
    problem = f'"{url}" is no address of a server: write unix:/PATH, http://HOST:PORT or https://HOST:PORT.'
    raise Failure("usage", problem)


def _trust(ca: str) -> SSLContext:
    import ssl

    try:
        return ssl.create_default_context(cafile=ca or None)
    except OSError as exc:
        raise Failure("usage", f'The certificates in "{ca}" cannot be read: {exc.strerror or exc}') from exc


def _import_http_client(*, tls: bool) -> None:
    if tls or "ssl" in sys.modules:
        return
    sys.modules["ssl"] = None  # type: ignore[assignment]
    try:
        import http.client  # noqa: F401
    finally:
        del sys.modules["ssl"]
