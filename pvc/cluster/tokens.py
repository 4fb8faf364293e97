"""Tokens: made, listed, revoked. What is kept of one cannot be turned back into it."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Iterable

from pvc.cluster.state import State, Unreadable
from pvc.errors import AlreadyExists, Corrupt, NotFound
from pvc.model.names import problem_with
from pvc.model.records import Role, Token, decode, encode
from pvc.store.base import Create, Delete, Store
from pvc.store.paths import TOKENS


def digest(token: str) -> str:
    """Tokens are 256 random bits, so a plain digest cannot be guessed back."""
    return "sha256:" + hashlib.sha256(token.encode(errors="surrogateescape")).hexdigest()


def holder(known: Iterable[Token], given: str) -> Token | None:
    """The record of the token `given`. Takes as long whichever of them it is."""
    wanted = digest(given)
    found = [token for token in known if hmac.compare_digest(token.digest, wanted)]
    return found[0] if found else None


async def add(state: State, name: str, role: Role, who: str) -> str:
    """Make a token and return it: nobody can read it again. Raises AlreadyExists."""
    token = secrets.token_urlsafe(32)
    record = Token(name=name, role=role, digest=digest(token), created_by=who, created_at=state.now())
    await state.store.ensure(TOKENS)
    try:
        await state.store.commit(creation(record))
    except AlreadyExists as exc:
        raise AlreadyExists(kind="token", name=name) from exc
    return token


def creation(token: Token) -> Create:
    return Create(f"{TOKENS}/{token.name}", encode(token))


async def remove(state: State, name: str) -> None:
    """From now on the token is refused. Raises NotFound."""
    if problem_with("token", name):
        raise NotFound(kind="token", name=name)
    try:
        entry = await state.store.get(f"{TOKENS}/{name}")
        await state.store.commit(Delete(f"{TOKENS}/{name}", entry.version))
    except NotFound as exc:
        raise NotFound(kind="token", name=name) from exc


async def every(store: Store) -> list[Token | Unreadable]:
    """By name."""
    await store.ensure(TOKENS)
    names = await store.children(TOKENS)
    entries = await store.get_many([f"{TOKENS}/{name}" for name in names])
    pairs = zip(names, entries, strict=True)
    return [_token(name, entry.value) for name, entry in pairs if entry is not None]


def _token(name: str, value: bytes) -> Token | Unreadable:
    try:
        return decode(Token, value, name)
    except Corrupt as exc:
        return Unreadable(name, str(exc.fields["reason"]))
