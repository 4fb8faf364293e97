"""What every kind of pool asks of names and sizes before it does anything."""

from __future__ import annotations

from pvc.errors import InvalidInput, PoolFull
from pvc.model.names import problem_with
from pvc.storage.sparse import BLOCK


def check_name(kind: str, name: str) -> None:
    """Raises InvalidInput."""
    if problem := problem_with(kind, name):
        raise InvalidInput({kind: problem})


def rounded_size(size: int, pool: str, total: int) -> int:
    """total: the most the pool could ever hold. Raises InvalidInput, PoolFull."""
    if size <= 0:
        raise InvalidInput({"size": "must be more than zero"})
    if size > total:
        raise PoolFull(name=pool)
    return -(-size // BLOCK) * BLOCK
