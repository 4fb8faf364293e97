"""Ports of the loopback for what a test starts."""

from __future__ import annotations

import socket


def free_port() -> int:
    """One that was free just now."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port
