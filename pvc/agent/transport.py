"""How guests come to this node live: encrypted, or in the clear where the configuration says so; what is missing."""

from __future__ import annotations

import asyncio
import logging
import ssl
from dataclasses import dataclass
from pathlib import Path

from pvc.agent.settings import Settings
from pvc.errors import Conflict, PVCError
from pvc.hypervisor.base import Hypervisor, in_the_clear

log = logging.getLogger("pvc.agent")

_NO_ADDRESS = 'takes no live migrations: its agent has no "hypervisor.migration_uri"'


async def tell(hypervisor: Hypervisor, settings: Settings) -> None:
    """Say in the log what is in force, having tried it."""
    uri = settings.migration_uri
    if not uri:
        log.info('Guests do not come here live: "hypervisor.migration_uri" is not set')
        return
    try:
        await check_arrivals(settings)
        await hypervisor.check_address(uri)
    except PVCError as exc:
        log.warning('Guests cannot come here live at "%s": %s', uri, exc)
        return
    if in_the_clear(uri):
        log.warning('Guests come here live at "%s", in the clear: who is on that network reads their memory', uri)
    else:
        log.info("Guests come here live at \"%s\", encrypted by libvirt's TLS and QEMU's", uri)


@dataclass(frozen=True, slots=True)
class Standing:
    """no_live: why no guest can come to this node live. encrypted: those that come do so. no_encryption: why it can
    send none encrypted. Each reason as what is said of the node.
    """

    no_live: str = ""
    encrypted: bool = False
    no_encryption: str = ""


async def standing(settings: Settings) -> Standing:
    """As it is now: certificates come and go while an agent runs."""
    lacking = await asyncio.to_thread(_problem, Path(settings.migration_certificates))
    no_encryption = f"cannot move guests encrypted: {lacking}" if lacking else ""
    if not settings.migration_uri:
        return Standing(_NO_ADDRESS, no_encryption=no_encryption)
    if in_the_clear(settings.migration_uri):
        return Standing(no_encryption=no_encryption)
    return Standing(no_encryption, encrypted=True, no_encryption=no_encryption)


async def check_arrivals(settings: Settings) -> None:
    """Raises Conflict when no guest can come to this node live."""
    if problem := (await standing(settings)).no_live:
        raise Conflict(kind="node", name=settings.node, problem=problem)


async def check(settings: Settings, uri: str) -> None:
    """Raises Conflict when this node's QEMU has not what it needs to move a guest to the hypervisor at `uri`."""
    if in_the_clear(uri):
        return
    if problem := (await standing(settings)).no_encryption:
        raise Conflict(kind="node", name=settings.node, problem=problem)


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
