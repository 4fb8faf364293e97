"""How kazoo's threads connect and wait: for one session only, with little patience, encrypted where that is wanted."""

from __future__ import annotations

import select
import socket
import ssl
from collections.abc import Sequence
from typing import Any

from kazoo.handlers.threading import AsyncResult, SequentialThreadingHandler
from kazoo.protocol.states import Callback

_Sockets = Sequence[socket.socket]
_Ready = tuple[_Sockets, _Sockets, _Sockets]


class _Answer(AsyncResult):
    """Tells that it is there on the connection thread, as `dispatch_callback` does: a thread less to wake."""

    def _do_callbacks(self) -> None:
        for callback in self._callbacks:
            callback(self)


class OneSession(SequentialThreadingHandler):
    """kazoo's threads, but no connection once the session is over: it would begin a new session by itself.

    And less patience with one server: kazoo waits a whole session timeout for a connection to be made and greeted, so
    that the session is over when it turns to the next try. A server that is starting takes connections and is silent.
    """

    over = False
    # Why the last server that was tried is not taken for ZooKeeper, in words.
    distrust = ""

    def __init__(self, patience_s: float, tls: ssl.SSLContext | None) -> None:
        super().__init__()
        self._patience_s = patience_s
        self._tls = tls

    def create_connection(
        self, address: tuple[str, int], *, hostname: str = "", timeout: float, **options: Any
    ) -> socket.socket:
        """Encrypted here: kazoo's own way trusts every CA of the machine besides the one that is configured."""
        if self.over:
            raise ConnectionRefusedError("the session is over")
        plain = super().create_connection(address, timeout=min(timeout, self._patience_s), **options)
        if self._tls is None:
            return plain
        try:
            return self._tls.wrap_socket(plain, server_hostname=hostname)
        except OSError as exc:
            plain.close()
            why = exc.verify_message if isinstance(exc, ssl.SSLCertVerificationError) else exc.strerror or exc
            self.distrust = f'TLS with ZooKeeper at "{hostname}:{address[1]}" failed: {why}'
            raise

    def async_result(self) -> _Answer:
        return _Answer(self)

    def dispatch_callback(self, callback: Callback) -> None:
        """At once, on the connection thread: a watch is told before any answer that came after it. Ours never block."""
        callback.func(*callback.args)

    def select(self, reading: _Sockets, writing: _Sockets, failing: _Sockets, timeout: float) -> _Ready:
        """kazoo waits for one socket within a message or a greeting; between messages for the next of two."""
        decrypted = [one for one in reading if isinstance(one, ssl.SSLSocket) and one.pending()]
        if decrypted:  # came with an earlier message, and the socket below has nothing to wake us with
            return decrypted, [], []
        if len(reading) + len(writing) == 1:
            timeout = min(timeout, self._patience_s)
        return _polled(reading, writing, timeout)


def _polled(reading: _Sockets, writing: _Sockets, timeout_s: float) -> _Ready:
    """kazoo's own way makes and closes an epoll each time, several times an answer."""
    poll = select.poll()
    for one in writing:
        poll.register(one, select.POLLOUT)
    for one in reading:
        poll.register(one, select.POLLIN)
    ready = {fd for fd, _ in poll.poll(timeout_s * 1000)}
    return [one for one in reading if one.fileno() in ready], [one for one in writing if one.fileno() in ready], []
