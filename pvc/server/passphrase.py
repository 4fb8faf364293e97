"""The passphrase of a request: in a header, which no log has, and never where others on the network can read it."""

from __future__ import annotations

import ipaddress
import socket
from typing import Protocol

from aiohttp import web

from pvc.errors import NotPermitted

HEADER = "X-Pvc-Passphrase"


def passphrase_of(request: web.Request) -> str:
    """ "" where none is given; else in UTF-8. Raises NotPermitted when it came over an open network."""
    given = request.headers.get(HEADER, "")
    if given and not (request.secure or is_near(_peer(request))):
        raise NotPermitted(problem="A passphrase is taken over TLS, from this machine or on the local socket only")
    return given


class Peer(Protocol):
    """What of a socket tells where the other end is."""

    @property
    def family(self) -> int: ...
    def getpeername(self) -> tuple[str, int]: ...


def _peer(request: web.Request) -> Peer | None:
    found: Peer | None = request.transport.get_extra_info("socket") if request.transport else None
    return found


def is_near(peer: Peer | None) -> bool:
    """Whether the other end is on this machine."""
    if peer is None:
        return False
    return peer.family == socket.AF_UNIX or _is_loopback(peer.getpeername()[0])


def _is_loopback(address: str) -> bool:
    found = ipaddress.ip_address(address.partition("%")[0])
    mapped = found.ipv4_mapped if isinstance(found, ipaddress.IPv6Address) else None
    return (mapped or found).is_loopback
