"""What servers know this agent by: a certificate made anew at each start, whose key never leaves memory."""

from __future__ import annotations

import asyncio
import hashlib
import os
import ssl
from asyncio.subprocess import PIPE
from dataclasses import dataclass

from pvc.environment import child_environment
from pvc.errors import Unavailable

_MAKE = (
    *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"),
    *("-subj", "/CN=pvc", "-days", "3650", "-keyout", "/dev/stdout", "-out", "/dev/stdout"),
)
_BEGIN = "-----BEGIN CERTIFICATE-----"


@dataclass(frozen=True, slots=True)
class Certificate:
    """fingerprint: SHA-256 of the certificate, in hexadecimal digits. Nobody looks at its name or dates."""

    context: ssl.SSLContext
    fingerprint: str


async def make() -> Certificate:
    """Raises Unavailable when there is no openssl, or it fails."""
    try:
        openssl = await asyncio.create_subprocess_exec(*_MAKE, stdout=PIPE, stderr=PIPE, env=child_environment())
    except FileNotFoundError as exc:
        raise Unavailable(
            what='The program "openssl"', reason="not found (on Debian: apt-get install openssl)"
        ) from exc
    made, said = await openssl.communicate()
    if openssl.returncode != 0:
        raise Unavailable(what="A certificate", reason=f"openssl says {said.decode(errors='replace').strip()}")
    encoded = ssl.PEM_cert_to_DER_cert(_BEGIN + made.decode().partition(_BEGIN)[2])
    return Certificate(await asyncio.to_thread(_context, made), hashlib.sha256(encoded).hexdigest())


def _context(made: bytes) -> ssl.SSLContext:
    """ssl takes files only: this one is memory and has no name."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    with open(os.memfd_create("pvc-certificate"), "wb") as file:
        file.write(made)
        file.flush()
        context.load_cert_chain(f"/proc/self/fd/{file.fileno()}")
    return context
