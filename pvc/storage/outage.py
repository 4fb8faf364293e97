"""What the operating system says of a pool's files, in pvc's own errors."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from pvc.errors import PoolFull, PoolUnavailable

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


@contextmanager
def pool_errors(pool: str) -> Iterator[None]:
    """Raises PoolFull or PoolUnavailable for OSError."""
    try:
        yield
    except OSError as exc:
        if exc.errno in _FULL:
            raise PoolFull(name=pool) from exc
        raise PoolUnavailable(name=pool, reason=exc.strerror or str(exc)) from exc
