import socket
from collections.abc import Callable, Sequence
from typing import Any

from kazoo.interfaces import IAsyncResult
from kazoo.protocol.states import Callback

_Sockets = Sequence[socket.socket]

class AsyncResult(IAsyncResult):
    _callbacks: list[Callable[[IAsyncResult], object]]
    def __init__(self, handler: SequentialThreadingHandler) -> None: ...

class SequentialThreadingHandler:
    def async_result(self) -> AsyncResult: ...
    def create_connection(
        self, address: tuple[str, int], *, hostname: str = ..., timeout: float, **options: Any
    ) -> socket.socket: ...
    def select(
        self, rlist: _Sockets, wlist: _Sockets, xlist: _Sockets, timeout: float, /
    ) -> tuple[_Sockets, _Sockets, _Sockets]: ...
    def dispatch_callback(self, callback: Callback) -> None: ...
