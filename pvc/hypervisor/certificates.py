"""The certificates that QEMU shows when it moves a guest encrypted: whether they are there, and it can use them."""

from __future__ import annotations

import os
import pwd
import ssl
import subprocess
from functools import lru_cache
from pathlib import Path

from pvc.environment import child_environment


def problem(folder: Path, qemu_user: tuple[int, int] | None) -> str:
    """What keeps QEMU from TLS with the certificates in `folder`, "" when nothing is seen. Blocks.

    libvirt has QEMU show one as a client too, to the node that it sends a guest to. qemu_user: as `Facts` has it.
    """
    authority = folder / "ca-cert.pem"
    pairs = [(folder / f"{side}-cert.pem", folder / f"{side}-key.pem") for side in ("server", "client")]
    files = [authority, *(file for pair in pairs for file in pair)]
    for file in files:
        if not file.exists():
            return f'"{file}" is not there'
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_verify_locations(authority)
        for certificate, key in pairs:
            context.load_cert_chain(certificate, key)
    except OSError as exc:  # an SSLError is one
        return f'the certificates in "{folder}" cannot be used ({exc.strerror or exc})'
    return _unreadable(files, *qemu_user) if qemu_user else ""


def _unreadable(files: list[Path], uid: int, gid: int) -> str:
    """Of groups the user's own ones count too, as libvirt gives them to QEMU."""
    try:
        name = pwd.getpwuid(uid).pw_name
        groups = os.getgrouplist(name, gid)
    except KeyError:
        name, groups = str(uid), [gid]
    try:
        file = _first_unreadable(tuple(map(str, files)), (uid, gid, *groups), _marks(files))
    except (OSError, subprocess.CalledProcessError) as exc:
        return f'whether QEMU, which runs as "{name}", can read its certificates is not known ({exc})'
    return f'QEMU runs as "{name}" and cannot read "{file}"' if file else ""


def _marks(files: list[Path]) -> tuple[tuple[int, int, int], ...]:
    """Others than before once an owner, a mode or an access list may have changed, of a file or of a folder above."""
    real = [file.resolve() for file in files]
    paths = {path for file in (*files, *real) for path in (file, *file.parents)}
    found = [path.stat() for path in sorted(paths)]
    return tuple((stat.st_dev, stat.st_ino, stat.st_ctime_ns) for stat in found)


@lru_cache(maxsize=4)
def _first_unreadable(files: tuple[str, ...], ids: tuple[int, ...], _marks: tuple[tuple[int, int, int], ...]) -> str:
    """A child asks as that user: modes alone do not tell where there are access lists, or folders above are closed.

    Kept while nothing has changed, for each migration asks, and a child costs 10 ms of processors.
    """
    uid, gid, *groups = ids
    asked = ["/bin/sh", "-c", 'for f; do [ -r "$f" ] || { echo "$f"; exit; }; done', "sh", *files]
    answer = subprocess.run(
        asked,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        env=child_environment(),
        user=uid,
        group=gid,
        extra_groups=groups,
    )
    return answer.stdout.strip()
