"""The hypervisor seen from asyncio: one Protocol, one contract suite (tests/contract/hypervisor)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from pvc.model.records import Ending, Power, Use
from pvc.storage.base import Secret


@dataclass(frozen=True, slots=True)
class Seen:
    """One domain as the hypervisor shows it. run: the number of the run that pvc started, None when not ours."""

    uuid: str
    name: str
    power: Power
    run: int | None


@dataclass(frozen=True, slots=True)
class Event:
    """A wake-up that says what happened to one domain; ending is set when it stopped."""

    uuid: str
    ending: Ending | None = None


@dataclass(frozen=True, slots=True)
class Facts:
    """This machine. Memory in bytes."""

    hostname: str
    domain_type: str  # "kvm" or "qemu"
    arch: str
    os: str
    kernel: str
    cpu_count: int
    memory_total: int
    memory_free: int
    load: float
    libvirt_version: str
    qemu_version: str
    reason: str  # why this domain type, one sentence


class Hypervisor(Protocol):
    """Every method raises HypervisorUnavailable when libvirt does not answer, HypervisorRefused when it says no.

    A domain that is not there: NotFound(kind="VM").
    """

    def subscribe(self, listener: Callable[[Event], None]) -> Callable[[], None]:
        """Call `listener` on the event loop for each event; also, with uuid "", when the connection broke.

        Returns what ends it.
        """
        ...

    async def domains(self) -> list[Seen]:
        """Every domain, running or paused. Raises rather than answer a list that could be incomplete."""
        ...

    async def facts(self) -> Facts: ...

    async def use(self) -> dict[str, Use]:
        """What every domain has used, by UUID, in one call; NICs are named as the host names them, not by MAC.

        It asks QEMU: one that hangs holds up the answer, which says nothing of others then.
        """
        ...

    async def keep_secret(self, secret: Secret) -> None:
        """Keep it for the disks that name it, in place of what was kept before; nobody reads it out again."""
        ...

    async def start(self, xml: str) -> None:
        """Create a transient domain from finished XML. Raises AlreadyExists when its UUID runs."""
        ...

    async def shutdown(self, uuid: str) -> None:
        """Ask the guest (ACPI power button); returns once it is asked."""
        ...

    async def stop(self, uuid: str) -> None:
        """Pull the plug; returns when the domain is gone."""
        ...

    async def xml(self, uuid: str) -> str:
        """The live XML."""
        ...

    async def attach(self, uuid: str, device_xml: str) -> None: ...

    async def detach(self, uuid: str, device_xml: str, timeout_s: float) -> None:
        """Return when the guest has let go (DEVICE_REMOVED). Raises Timeout when it does not in time.

        device_xml: the device as it stands in the live XML, alias included.
        """
        ...

    async def resize_disk(self, uuid: str, dev: str, size: int) -> None:
        """Make a disk of the running guest `size` bytes; QEMU resizes what keeps it, and the guest sees it at once.

        dev: the disk's target, as "vdb". Smaller would be done too: the caller must not ask for it.
        """
        ...

    async def aclose(self) -> None: ...
