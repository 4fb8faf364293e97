import socket
from collections.abc import Sequence
from typing import Any

from kazoo.protocol.states import Callback

_Sockets = Sequence[socket.socket]

class SequentialThreadingHandler:
    def create_connection(
        self, address: tuple[str, int], *, hostname: str = ..., timeout: float, **options: Any
    ) -> socket.socket: ...
    def select(
        self, rlist: _Sockets, wlist: _Sockets, xlist: _Sockets, timeout: float, /
    ) -> tuple[_Sockets, _Sockets, _Sockets]: ...
    def dispatch_callback(self, callback: Callback) -> None: ...
