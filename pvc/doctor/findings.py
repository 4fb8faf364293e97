"""What an examination of this machine finds, and who needs what of it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Verdict(StrEnum):
    OK = "ok"
    WARNING = "warning"  # works, but worse or only for a while
    WRONG = "wrong"


@dataclass(frozen=True, slots=True)
class Finding:
    """text: one sentence. mend: the command that puts it right; empty where there is none, or nothing to mend."""

    check: str
    verdict: Verdict
    text: str
    mend: str = ""


def ok(check: str, text: str) -> Finding:
    return Finding(check, Verdict.OK, text)


def warning(check: str, text: str, mend: str = "") -> Finding:
    return Finding(check, Verdict.WARNING, text, mend)


def wrong(check: str, text: str, mend: str = "") -> Finding:
    return Finding(check, Verdict.WRONG, text, mend)
