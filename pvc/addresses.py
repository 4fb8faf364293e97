"""Addresses of the web that a server may fetch from: a list of beginnings, compared part by part."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import urlsplit

_PORTS = {"https": 443, "http": 80}
_HOST = re.compile(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?|[0-9a-f:.]*:[0-9a-f:.]*")
# What an address consists of when it is written out, and nothing that one reader takes for another thing than the next.
_WRITTEN = re.compile(
    r"https?://[A-Za-z0-9.:\[\]-]+(/[A-Za-z0-9._~!$&'()*+,;=:@%/-]*)?(\?[A-Za-z0-9._~!$&'()*+,;=:@%/?-]*)?"
)
_HIDDEN = re.compile(r"%(2e|2f|5c|00)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Address:
    scheme: str
    host: str
    port: int
    path: str

    @property
    def shown(self) -> str:
        """Without its query, which may be a key."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        port = "" if self.port == _PORTS[self.scheme] else f":{self.port}"
        return f"{self.scheme}://{host}{port}{self.path}"


def address_of(url: str) -> Address | None:
    """None for what is no plain http or https address: with a user, dots or slashes in disguise, or a way upwards."""
    if not _WRITTEN.fullmatch(url) or _HIDDEN.search(url.partition("?")[0]):
        return None
    try:
        parts = urlsplit(url)
        host, port = (parts.hostname or "").removesuffix("."), parts.port
    except ValueError:
        return None
    if not _HOST.fullmatch(host) or port == 0 or {".", ".."} & set(parts.path.split("/")):
        return None
    return Address(parts.scheme, host, port or _PORTS[parts.scheme], parts.path or "/")


def allowed(url: str, beginnings: Iterable[str]) -> Address | None:
    """What of `url` is where, when one of `beginnings` is the beginning of it."""
    address = address_of(url)
    return address if address and any(_is_below(address, address_of(one)) for one in beginnings) else None


def problem_with_beginning(text: str) -> str:
    """What is wrong with it, "" when nothing is."""
    if address_of(text) is None or "?" in text:
        return "is no plain http or https address"
    return "" if text.endswith("/") else 'does not end in "/"'


def _is_below(address: Address, beginning: Address | None) -> bool:
    return (
        beginning is not None
        and (address.scheme, address.host, address.port) == (beginning.scheme, beginning.host, beginning.port)
        and address.path.startswith(beginning.path)
    )
