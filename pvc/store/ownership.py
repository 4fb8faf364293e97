"""Whose records in ZooKeeper are: made ours in an empty ZooKeeper, seen to be ours in every other."""

from __future__ import annotations

from typing import Any

from pvc.errors import NotPermitted, PVCError
from pvc.store import zookeeper
from pvc.store.paths import BASE
from pvc.store.zookeeper import Link, Request

# BASE, what is in it, and what is in that: folders, but not each record, which nobody but we can put into them.
_LEVELS = 3


async def claim(link: Link, user: str) -> None:
    """Make BASE, then look who may use it: in this order nobody can come in between.

    user: empty where everybody may. Raises NotPermitted.
    """
    await _ask(link, user, zookeeper.create(BASE))
    level = [BASE]
    for _ in range(_LEVELS):
        answers = await _ask(link, user, *[zookeeper.users(path) for path in level])
        present = [(path, users) for path, users in zip(level, answers, strict=True) if users is not None]
        if user:
            _refuse_others(link.owner, user, present)
        found = await _ask(link, user, *[zookeeper.children(path) for path, _ in present])
        level = [f"{path}/{name}" for (path, _), names in zip(present, found, strict=True) for name in names or ()]


async def _ask(link: Link, user: str, *requests: Request) -> list[Any]:
    """Answers None for what is not there (any more), or is there already."""
    answers = await link.attempt(*requests)
    for request, answer in zip(requests, answers, strict=True):
        if isinstance(answer, NotPermitted):
            raise NotPermitted(problem=_refusal(request.path, user)) from answer
    return [None if isinstance(answer, PVCError) else answer for answer in answers]


def _refuse_others(owner: str, user: str, present: list[tuple[str, frozenset[str]]]) -> None:
    for path, users in present:
        others = ", ".join(sorted(_without_digest(one) for one in users - {owner}))
        if others:
            raise NotPermitted(
                problem=f'"{path}" in ZooKeeper is open to others than user "{user}" ({others}): with every pvc '
                f'stopped, close it in zkCli.sh with "addauth digest {user}:PASSWORD" and "setAcl -R {BASE} '
                f'auth::cdrwa", or remove it with "deleteall {BASE}" if it is not this cluster\'s'
            )


def _refusal(path: str, user: str) -> str:
    if not user:
        return f'ZooKeeper lets only its owner use "{path}": store.user and store.password_file must be given'
    return (
        f'ZooKeeper does not let user "{user}" use "{path}": it was made with another password than the one in '
        "store.password_file, or by somebody else"
    )


def _without_digest(user: str) -> str:
    """user: "digest:NAME:DIGEST" or another scheme's word."""
    return ":".join(user.split(":")[:2])
