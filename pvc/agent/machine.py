"""Which machine this is: two of them may be given one node's name by mistake."""

from __future__ import annotations

import socket
from contextlib import suppress
from pathlib import Path

_ID = Path("/etc/machine-id")


def identity() -> str:
    """The host name and the beginning of the machine's id, which a reboot keeps and a new installation does not."""
    name, number = socket.gethostname(), ""
    with suppress(FileNotFoundError):
        number = _ID.read_text().strip()[:12]
    return f"{name} ({number})" if number else name
