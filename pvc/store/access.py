"""Who this pvc is to ZooKeeper and whom it takes for ZooKeeper: from the files that the configuration names."""

from __future__ import annotations

import os
import ssl
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from pvc import config
from pvc.config import ConfigProblems


@dataclass(frozen=True, slots=True)
class Access:
    """user: empty where records are open to everybody. tls: None where connections are not encrypted."""

    user: str = ""
    password: str = field(default="", repr=False)
    tls: ssl.SSLContext | None = None


def read_access(cfg: config.Store) -> Access:
    """Blocks. Raises ConfigProblems."""
    password = _password(Path(cfg.password_file)) if cfg.user else ""
    return Access(cfg.user, password, _tls(cfg) if cfg.tls_ca else None)


def _password(path: Path) -> str:
    try:
        with path.open("rb") as file:
            problems = list(_exposures(os.fstat(file.fileno())))
            text = file.read().decode().removesuffix("\n")
    except OSError as exc:
        raise ConfigProblems([f'store.password_file "{path}" cannot be read: {exc.strerror}']) from exc
    except UnicodeDecodeError as exc:
        raise ConfigProblems([f'store.password_file "{path}" must be UTF-8.']) from exc
    if not text or "\n" in text:
        problems.append("must hold the password in one line")
    if problems:
        raise ConfigProblems([f'store.password_file "{path}" {problem}.' for problem in problems])
    return text


def _exposures(status: os.stat_result) -> Iterator[str]:
    if status.st_uid not in (0, os.geteuid()):
        yield "must belong to root"
    if stat.S_IMODE(status.st_mode) & 0o077:
        yield "must be readable by its owner only (chmod 600)"


def _tls(cfg: config.Store) -> ssl.SSLContext:
    """What `tls_ca` signed and nothing else, under the name or address that `hosts` has for it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    reading = cfg.tls_ca
    try:
        context.load_verify_locations(cfg.tls_ca)
        if cfg.tls_certificate:
            reading = f'{cfg.tls_certificate}" or "{cfg.tls_key}'
            context.load_cert_chain(cfg.tls_certificate, cfg.tls_key)
    except OSError as exc:  # an SSLError is one
        raise ConfigProblems([f'"{reading}" cannot be used for TLS to ZooKeeper: {exc.strerror or exc}']) from exc
    return context
