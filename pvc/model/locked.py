"""What of a backup is secret, and how a backup has it: locked by a passphrase. What locks it is cluster/sealing.py."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import msgspec

from pvc.model import names
from pvc.model.records import Token

# Characters of a passphrase.
_LEAST = 8


class Locked(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Secrets that a passphrase opens. n, r, p, salt: of scrypt. data: ciphertext, and the tag that proves it."""

    kdf: Literal["scrypt"] = "scrypt"
    n: int
    r: int
    p: int
    salt: bytes
    cipher: Literal["AES-256-GCM"] = "AES-256-GCM"
    nonce: bytes
    data: bytes


class Secrets(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """tokens: as they are stored, by name; nobody can turn one back into what its holder sends."""

    tokens: tuple[Token, ...] = ()


def problems(secrets: Secrets) -> Iterator[str]:
    """Why they cannot be a cluster's, a phrase each."""
    seen: set[str] = set()
    for token in secrets.tokens:
        if problem := names.problem_with("token", token.name):
            yield f'the name "{token.name}" of a token {problem}'
        if token.name in seen:
            yield f'the token "{token.name}" is there twice'
        seen.add(token.name)


def passphrase_problem(passphrase: str) -> str:
    """What is wrong with it, "" when nothing is: it must pass through a header and a terminal as it is."""
    if len(passphrase) < _LEAST:
        return f"must have at least {_LEAST} characters"
    if passphrase != passphrase.strip() or not passphrase.isprintable():
        return "must be one line that neither begins nor ends with a space"
    return ""
