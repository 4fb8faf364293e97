"""Which names are allowed. Standard library only: the shell client uses these too.

Every rule keeps a name safe as a file name, a znode, a URL segment and an argument: no slash, no leading
dash or dot, no space or control character.
"""

from __future__ import annotations

import re

_RULES: dict[str, tuple[re.Pattern[str], str]] = {
    "VM": (
        re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,62}[A-Za-z0-9])?"),
        "1 to 64 letters, digits, dots, dashes or underscores, beginning and ending with a letter or digit",
    ),
    "volume": (
        re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,119}"),
        "1 to 120 letters, digits, dots, dashes or underscores, not beginning with a dot or dash",
    ),
    "tag": (
        re.compile(r"[A-Za-z0-9_][A-Za-z0-9._:=+-]{0,63}"),
        "1 to 64 letters, digits or any of . _ : = + -, not beginning with a mark",
    ),
}
_RULES["snapshot"] = _RULES["volume"]
_RULES["pool"] = _RULES["VM"]
_RULES["node"] = _RULES["VM"]
_RULES["network"] = _RULES["VM"]
_RULES["token"] = _RULES["VM"]
_RULES["OVA"] = _RULES["VM"]

UUID = re.compile(r"[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}", re.IGNORECASE)
MAC = re.compile(r"[0-9a-f]{2}(?::[0-9a-f]{2}){5}", re.IGNORECASE)


def problem_with(kind: str, name: str) -> str | None:
    """Say in a phrase why `name` cannot name a `kind`; None when it can.

    kind: "VM", "volume", "snapshot", "pool", "node", "network", "token", "OVA" or "tag".
    """
    pattern, rule = _RULES[kind]
    if pattern.fullmatch(name) is None:
        return f"must be {rule}"
    if kind == "VM" and UUID.fullmatch(name):
        return "must not look like a UUID"
    return None


def split_volume(text: str) -> tuple[str, str]:
    """Return (pool, volume) of "POOL/VOLUME". Raises ValueError with a phrase."""
    pool, slash, volume = text.partition("/")
    if not slash or problem_with("pool", pool) or problem_with("volume", volume):
        raise ValueError("must be written as POOL/VOLUME")
    return pool, volume
