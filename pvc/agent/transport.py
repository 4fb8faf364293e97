"""How guests come to this node live: encrypted, or in the clear where the configuration says so; what is missing."""

from __future__ import annotations

import asyncio
import logging
import ssl
from pathlib import Path

from pvc.agent.settings import Settings
from pvc.errors import Conflict, PVCError
from pvc.hypervisor.base import Hypervisor, in_the_clear

log = logging.getLogger("pvc.agent")


async def tell(hypervisor: Hypervisor, settings: Settings) -> None:
    """Say in the log what is in force, having tried it."""
    uri = settings.migration_uri
    if not uri:
        log.info('Guests do not come here live: "hypervisor.migration_uri" is not set')
        return
    try:
        await check(settings, uri)
        await hypervisor.check_address(uri)
    except PVCError as exc:
        log.warning('Guests cannot come here live at "%s": %s', uri, exc)
        return
    if in_the_clear(uri):
        log.warning('Guests come here live at "%s", in the clear: who is on that network reads their memory', uri)
    else:
        log.info("Guests come here live at \"%s\", encrypted by libvirt's TLS and QEMU's", uri)


async def check(settings: Settings, uri: str) -> None:
    """Raises Conflict when this node's QEMU has not what it needs to move a guest to the hypervisor at `uri`."""
    if in_the_clear(uri):
        return
    if problem := await asyncio.to_thread(_problem, Path(settings.migration_certificates)):
        raise Conflict(kind="node", name=settings.node, problem=f"cannot move guests encrypted: {problem}")


def _problem(folder: Path) -> str:
    """What keeps QEMU from TLS with the certificates in `folder`, "" when nothing is seen.

    libvirt has QEMU show one as a client too, to the node that it sends a guest to.
    """
    authority = folder / "ca-cert.pem"
    pairs = [(folder / f"{side}-cert.pem", folder / f"{side}-key.pem") for side in ("server", "client")]
    for file in (authority, *(file for pair in pairs for file in pair)):
        if not file.exists():
            return f'"{file}" is not there'
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_verify_locations(authority)
        for certificate, key in pairs:
            context.load_cert_chain(certificate, key)
    except OSError as exc:  # an SSLError is one
        return f'the certificates in "{folder}" cannot be used ({exc.strerror or exc})'
    return ""
