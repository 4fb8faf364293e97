"""The certificates that QEMU shows when it moves a guest encrypted: whether they are there, and it can use them."""

from __future__ import annotations

import os
import pwd
import ssl
import subprocess
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
    """A child asks as QEMU's user: modes alone do not tell where there are access lists, or folders above are closed.

    Of groups it has the user's own ones besides, as libvirt gives them to QEMU.
    """
    try:
        name = pwd.getpwuid(uid).pw_name
        groups = os.getgrouplist(name, gid)
    except KeyError:
        name, groups = str(uid), [gid]
    asked = ["/bin/sh", "-c", 'for f; do [ -r "$f" ] || { echo "$f"; exit; }; done', "sh", *map(str, files)]
    environment = child_environment()
    try:
        answer = subprocess.run(
            asked,
            stdout=subprocess.PIPE,
            text=True,
            check=True,
            env=environment,
            user=uid,
            group=gid,
            extra_groups=groups,
        )
    except (OSError, subprocess.CalledProcessError) as exc:
        return f'whether QEMU, which runs as "{name}", can read its certificates is not known ({exc})'
    file = answer.stdout.strip()
    return f'QEMU runs as "{name}" and cannot read "{file}"' if file else ""
