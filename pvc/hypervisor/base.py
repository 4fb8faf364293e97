"""The hypervisor seen from asyncio: one Protocol, one contract suite (tests/contract/hypervisor)."""

from __future__ import annotations

import re
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
    qemu_user: tuple[int, int] | None = None  # uid and gid that QEMU runs as, None where libvirt does not tell


@dataclass(frozen=True, slots=True, kw_only=True)
class Tuning:
    """How a live migration may go about it. bandwidth: bytes a second, 0 for as much as there is.

    post_copy: when the guest outruns the copy, let it run on the target before all its memory is there; if either
    side then fails, the guest is lost.
    """

    max_downtime_ms: int = 300
    bandwidth: int = 0
    auto_converge: bool = True
    post_copy: bool = False


def in_the_clear(uri: str) -> bool:
    """Whether what goes to the hypervisor at `uri` can be read, and that hypervisor be reached, by anybody between."""
    return uri.startswith("qemu+tcp:")


def data_address(uri: str) -> str:
    """Where a guest's memory goes on its way to the hypervisor at `uri`; "" where that names no machine.

    Left to itself, libvirt sends it to the name that the other machine has for itself, which need not be known here.
    """
    host = re.match(r"[^:/]+://(?:[^@/]*@)?(\[[^]]+]|[^:/[]+)", uri)
    return f"tcp://{host[1]}" if host else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Copy:
    """How far a migration is, or was when it ended. Bytes; dirty_rate: bytes a second that the guest changes.

    round: how many times the changed memory was gone through. downtime_ms: None while nobody knows.
    """

    total: int = 0
    processed: int = 0
    left: int = 0
    rate: int = 0
    dirty_rate: int = 0
    round: int = 0
    elapsed_ms: int = 0
    downtime_ms: int | None = None


class Moves(Protocol):
    """Moving running guests between hypervisors. What is under way goes on when the one who asked for it dies."""

    async def movable_xml(self, uuid: str) -> str:
        """The live XML as another hypervisor takes it, passwords included."""
        ...

    async def migrate(self, uuid: str, xml: str, uri: str, tuning: Tuning) -> None:
        """Return when the guest runs on the hypervisor at `uri` and is gone here. Raises when it stays here.

        xml: what it becomes there. Being cancelled ends the wait alone, not the migration. The guest's memory is
        encrypted unless `uri` is in the clear.
        """
        ...

    async def copy(self, uuid: str) -> Copy | None:
        """The migration of this guest that is under way, in either direction; None when there is none, or no guest."""
        ...

    async def last_copy(self, uuid: str) -> Copy | None:
        """The migration that brought the guest here, or took it away; None when nothing is known of it."""
        ...

    async def abort_migration(self, uuid: str) -> None:
        """Let the guest stay here; nothing when none is under way, or it is too late."""
        ...

    async def allow_downtime(self, uuid: str, milliseconds: int) -> None:
        """Of the migration under way, or of the next one."""
        ...

    async def start_post_copy(self, uuid: str) -> None:
        """Let the guest run on the target now; only where the migration was begun so that it may."""
        ...

    async def check_address(self, uri: str) -> None:
        """Reach a hypervisor as another would that sends a guest. Raises HypervisorUnavailable, HypervisorRefused."""
        ...

    async def resume(self, uuid: str) -> None:
        """Let a paused guest go on."""
        ...


class Hypervisor(Moves, Protocol):
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
