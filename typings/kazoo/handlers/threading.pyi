import socket
from collections.abc import Sequence
from typing import Any

_Sockets = Sequence[socket.socket]

class SequentialThreadingHandler:
    def create_connection(
        self, address: tuple[str, int], *, hostname: str = ..., timeout: float, **options: Any
    ) -> socket.socket: ...
    def select(
        self, rlist: _Sockets, wlist: _Sockets, xlist: _Sockets, timeout: float, /
    ) -> tuple[_Sockets, _Sockets, _Sockets]: ...
