"""How guests come to this node live: encrypted, or in the clear where the configuration says so; what is missing."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from pathlib import Path

from pvc.agent.settings import Settings
from pvc.errors import Conflict, PVCError
from pvc.hypervisor import certificates
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
        await check_arrivals(settings, (await hypervisor.facts()).qemu_user)
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


QEMUUser = tuple[int, int] | None


async def standing(settings: Settings, qemu_user: QEMUUser) -> Standing:
    """As it is now: certificates come and go while an agent runs. qemu_user: as `Facts` has it."""
    lacking = await asyncio.to_thread(certificates.problem, Path(settings.migration_certificates), qemu_user)
    no_encryption = f"cannot move guests encrypted: {lacking}" if lacking else ""
    if not settings.migration_uri:
        return Standing(_NO_ADDRESS, no_encryption=no_encryption)
    if in_the_clear(settings.migration_uri):
        return Standing(no_encryption=no_encryption)
    return Standing(no_encryption, encrypted=True, no_encryption=no_encryption)


async def check_arrivals(settings: Settings, qemu_user: QEMUUser) -> None:
    """Raises Conflict when no guest can come to this node live."""
    if settings.migration_uri and in_the_clear(settings.migration_uri):
        return
    if problem := (await standing(settings, qemu_user)).no_live:
        raise Conflict(kind="node", name=settings.node, problem=problem)


async def check(settings: Settings, qemu_user: QEMUUser, uri: str) -> None:
    """Raises Conflict when this node's QEMU has not what it needs to move a guest to the hypervisor at `uri`."""
    if in_the_clear(uri):
        return
    if problem := (await standing(settings, qemu_user)).no_encryption:
        raise Conflict(kind="node", name=settings.node, problem=problem)
