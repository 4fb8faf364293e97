"""Secrets of a backup open by the passphrase that they were locked by, in the document that they stand in."""

from __future__ import annotations

import subprocess
import sys
from functools import partial
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from pvc.cluster import sealing
from pvc.errors import InvalidInput
from pvc.model import backup
from pvc.model.backup import Taken
from pvc.model.locked import Locked, Secrets
from pvc.model.records import Role, Token
from tests.parts.recovery import content

PASSPHRASE = "correct horse über battery"
TOKENS = tuple(
    Token(name=name, role=Role.READ, digest=f"sha256:{name}", created_by="root", created_at=1.0) for name in ("a", "b")
)
TAKEN = Taken(at="", revision=0, generation="1")


@pytest.fixture(autouse=True)
def cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    """What takes a guesser long would take the tests long."""
    monkeypatch.setattr(sealing, "_N", 16)


def written(passphrase: str = PASSPHRASE, secrets: Secrets | None = None) -> dict[str, Any]:
    lock = partial(sealing.seal, secrets or Secrets(tokens=TOKENS), passphrase)
    found: dict[str, Any] = msgspec.json.decode(backup.document(content(1), "c", TAKEN, lock=lock))
    return found


def opened(document: dict[str, Any], passphrase: str = PASSPHRASE) -> backup.Backup:
    return sealing.opened(backup.read(msgspec.json.encode(document)), passphrase)


def refusal(document: dict[str, Any], passphrase: str = PASSPHRASE) -> str:
    with pytest.raises(InvalidInput) as caught:
        opened(document, passphrase)
    return str(caught.value)


def test_secrets_are_read_back_and_cannot_be_read_without_their_passphrase() -> None:
    document = written()
    assert opened(document).secrets == Secrets(tokens=TOKENS)
    assert b"sha256:a" not in msgspec.json.encode(document)
    assert written()["secrets"]["salt"] != document["secrets"]["salt"]


def test_the_same_letters_typed_on_another_machine_are_the_same_passphrase() -> None:
    assert opened(written("pässwörter"), "pa\u0308sswo\u0308rter").secrets is not None


def test_another_passphrase_opens_nothing() -> None:
    assert refusal(written(), "correct horse uber battery") == (
        'Argument "passphrase" does not open the secrets of the backup: it is another one, or the backup was changed.'
    )


def test_secrets_open_in_no_other_document() -> None:
    document = written()
    assert "does not open" in refusal({**document, "cluster": "another"})
    inside = {**document["content"], "vms": []}
    assert "does not open" in refusal({**document, "content": inside, "sha256": backup.digest(inside)})


def test_without_a_passphrase_all_the_rest_is_restored_and_a_note_says_so() -> None:
    found = opened(written(), "")
    assert (found.content, found.secrets) == (content(1), None)
    assert found.notes == ("The secrets of the backup are not restored: no passphrase was given.",)


def test_a_passphrase_for_a_backup_without_secrets_is_refused() -> None:
    document = written()
    del document["secrets"]
    assert refusal(document) == 'Argument "passphrase" is given, and the backup has no secrets.'


@pytest.mark.parametrize("passphrase", ["short12", " leading space", "two\nlines of it", "not text \udcff"])
def test_a_passphrase_that_would_not_arrive_as_it_is_is_refused(passphrase: str) -> None:
    with pytest.raises(InvalidInput, match="must"):
        written(passphrase)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"n": 17}, "makes no sense"),
        ({"n": 0}, "makes no sense"),
        ({"p": 0}, "makes no sense"),
        ({"salt": b""}, "makes no sense"),
        ({"nonce": b"short"}, "makes no sense"),
        ({"n": 1 << 40}, "more memory or time"),
        ({"p": 1 << 20}, "more memory or time"),
        ({"n": 32}, "does not open"),
    ],
)
def test_what_a_document_says_of_its_locking_is_not_taken_on_trust(change: dict[str, Any], problem: str) -> None:
    document = written()
    locked = replace(msgspec.convert(document["secrets"], Locked), **change)
    assert problem in refusal({**document, "secrets": msgspec.to_builtins(locked)})


@pytest.mark.parametrize("secrets", [[], {"kdf": "none"}, "x"])
def test_secrets_that_are_none_are_a_damaged_backup(secrets: Any) -> None:
    assert "cannot be restored: secrets:" in refusal({**written(), "secrets": secrets}, "")


@pytest.mark.parametrize("tokens", [(TOKENS[0], TOKENS[0]), (replace(TOKENS[0], name="../vms"),)])
def test_tokens_that_cannot_be_are_refused(tokens: tuple[Token, ...]) -> None:
    assert "has secrets that cannot be restored: the" in refusal(written(secrets=Secrets(tokens=tokens)))


def test_a_server_loads_no_cryptography_before_it_is_needed() -> None:
    program = "import sys, pvc.server.main; sys.exit('cryptography' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
