"""A unix socket that root alone may connect to."""

from __future__ import annotations

import os
import socket
from pathlib import Path

_BACKLOG = 128


def private_listener(path: Path) -> socket.socket:
    """Listen at `path`, which is replaced, in a folder that is made when missing. Raises OSError.

    On Linux the file takes its mode from the socket at the moment of `bind`, so there is no moment in which others may
    connect, and the process's umask, which all its threads share, is left alone.
    """
    path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        os.fchmod(listener.fileno(), 0o600)
        listener.bind(str(path))
        listener.listen(_BACKLOG)
    except BaseException:
        listener.close()
        raise
    return listener
