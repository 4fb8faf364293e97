"""Secrets of a backup, locked by a passphrase: scrypt makes the key of it, AES-256-GCM locks them and proves it.

They are bound to the document that they stand in: in another one, or in one that was changed, they do not open. The
one module that knows of `cryptography`, which is loaded when a passphrase is given and not before.
"""

from __future__ import annotations

import os
import unicodedata
from dataclasses import replace

import msgspec

from pvc.errors import InvalidInput
from pvc.model import locked
from pvc.model.backup import Backup
from pvc.model.locked import Locked, Secrets

# What one try of a passphrase takes: 128 MiB of memory and some half a second. Source: RFC 7914, OWASP's advice.
_N, _R, _P = 1 << 17, 8, 1
# What a document may ask to be spent on opening it.
_MOST_BYTES, _MOST_PASSES = 256 << 20, 4
_SALT_BYTES, _NONCE_BYTES, _KEY_BYTES = 16, 12, 32


def seal(secrets: Secrets, passphrase: str, bound: bytes) -> Locked:
    """bound: what they are to be found with. Takes long: not for the event loop. Raises InvalidInput."""
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    empty = Locked(n=_N, r=_R, p=_P, salt=os.urandom(_SALT_BYTES), nonce=os.urandom(_NONCE_BYTES), data=b"")
    data = AESGCM(_key(passphrase, empty)).encrypt(empty.nonce, msgspec.json.encode(secrets), bound)
    return msgspec.structs.replace(empty, data=data)


def opened(backup: Backup, passphrase: str) -> Backup:
    """With its secrets, or without a passphrase a note that they stay behind. Takes long. Raises InvalidInput."""
    if backup.locked is None:
        if passphrase:
            raise InvalidInput({"passphrase": "is given, and the backup has no secrets"})
        return backup
    if not passphrase:
        note = "The secrets of the backup are not restored: no passphrase was given."
        return replace(backup, notes=(*backup.notes, note))
    return replace(backup, secrets=_secrets(_unsealed(backup.locked, passphrase, backup.bound)))


def _unsealed(given: Locked, passphrase: str, bound: bytes) -> bytes:
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    _check(given)
    try:
        return AESGCM(_key(passphrase, given)).decrypt(given.nonce, given.data, bound)
    except InvalidTag as exc:
        problem = "does not open the secrets of the backup: it is another one, or the backup was changed"
        raise InvalidInput({"passphrase": problem}) from exc


def _check(given: Locked) -> None:
    """Whoever wrote the document says what opening it takes."""
    whole = given.n > 1 and given.n & (given.n - 1) == 0 and given.r > 0 and given.p > 0
    if not whole or len(given.salt) < _SALT_BYTES or len(given.nonce) != _NONCE_BYTES:
        raise InvalidInput({"cluster_data": 'is damaged: what its "secrets" are locked by makes no sense'})
    if 128 * given.n * given.r > _MOST_BYTES or given.p > _MOST_PASSES:
        raise InvalidInput({"cluster_data": 'has "secrets" that take more memory or time to open than is allowed'})


def _key(passphrase: str, given: Locked) -> bytes:
    from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

    if problem := locked.passphrase_problem(passphrase):
        raise InvalidInput({"passphrase": problem})
    kdf = Scrypt(salt=given.salt, length=_KEY_BYTES, n=given.n, r=given.r, p=given.p)
    return kdf.derive(unicodedata.normalize("NFC", passphrase).encode())


def _secrets(data: bytes) -> Secrets:
    try:
        found = msgspec.json.decode(data, type=Secrets)
    except msgspec.MsgspecError as exc:
        raise InvalidInput({"cluster_data": f"has secrets that cannot be restored: {exc}"}) from exc
    if wrong := list(locked.problems(found)):
        raise InvalidInput({"cluster_data": f"has secrets that cannot be restored: {wrong[0]}"})
    return found
