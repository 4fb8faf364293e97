"""TCP between pvc's daemons: a machine that vanished says nothing, so silence is asked about."""

from __future__ import annotations

import socket
from typing import Any

# Seconds of silence until TCP asks, seconds between questions, and questions without an answer that end a connection.
_KEEPALIVE = {socket.TCP_KEEPIDLE: 10, socket.TCP_KEEPINTVL: 5, socket.TCP_KEEPCNT: 4}


def listener(host: str, port: int) -> socket.socket:
    """Blocks. Raises OSError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return _asking(socket.create_server((host, port), family=family))


def unconnected(address: tuple[int, int, int, str, Any]) -> socket.socket:
    """address: as getaddrinfo has it."""
    family, kind, protocol, _, _ = address
    return _asking(socket.socket(family, kind, protocol))


def _asking(made: socket.socket) -> socket.socket:
    """What a listener accepts is as the listener is."""
    made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in _KEEPALIVE.items():
        made.setsockopt(socket.IPPROTO_TCP, option, value)
    return made
