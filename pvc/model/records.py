"""What is stored, one struct per record. Times are seconds since the epoch, UTC, given by the caller."""

from __future__ import annotations

from enum import StrEnum
from typing import TypeVar

import msgspec

from pvc.errors import Corrupt

SCHEMA = 1


class Desired(StrEnum):
    """What the operator asked for. Written by the server only."""

    RUNNING = "running"
    STOPPED = "stopped"
    DISABLED = "disabled"


class How(StrEnum):
    """How a run is to end when it must: ask the guest and wait for it, or pull the plug."""

    SHUTDOWN = "shutdown"
    STOP = "stop"


class Power(StrEnum):
    """What the hypervisor says. Written by the VM's own node only; never guessed."""

    RUNNING = "running"
    PAUSED = "paused"
    OFF = "off"
    CRASHED = "crashed"
    UNKNOWN = "unknown"


class Ending(StrEnum):
    """How a guest came to its end, as the hypervisor tells it."""

    POWERED_OFF = "powered off"  # the guest did it itself, or was asked to
    DESTROYED = "destroyed"
    CRASHED = "crashed"
    MIGRATED = "migrated"


class MigrationMethod(StrEnum):
    NONE = "none"
    LIVE = "live"
    SHUTDOWN = "shutdown"


class Selector(StrEnum):
    MEM = "mem"
    MEMPROV = "memprov"
    VCPUS = "vcpus"
    LOAD = "load"
    VMS = "vms"
    NONE = "none"


class Role(StrEnum):
    """What a caller may do; each includes those before it."""

    READ = "read"  # see everything
    OPERATE = "operate"  # change VMs, their volumes and networks
    ADMIN = "admin"  # change the cluster: tokens, nodes, pools, initialise, back up, restore

    def includes(self, other: Role) -> bool:
        order = list(Role)
        return order.index(self) >= order.index(other)


class DaemonState(StrEnum):
    """What a node's agent last said of itself; "dead" is said by nobody."""

    INIT = "init"
    RUN = "run"
    SHUTDOWN = "shutdown"
    STOP = "stop"


class DomainState(StrEnum):
    """What a node's VMs are to do. Asked for by the server; the node's agent writes what came of it."""

    READY = "ready"
    FLUSH = "flush"
    FLUSHED = "flushed"
    UNFLUSH = "unflush"


class TaskStatus(StrEnum):
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


class Tag(msgspec.Struct, frozen=True, kw_only=True):
    """type: "user" or "system"; a word that this version does not know is kept as it is."""

    name: str
    type: str = "user"
    protected: bool = False


class Lifted(msgspec.Struct, frozen=True, kw_only=True):
    """Who lifted the protection of a tag, and when."""

    tag: str
    who: str
    at: float


class Moving(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A VM on its way to node `target`, as long as its task is the migration. The others: what it has on arrival."""

    target: str
    last_node: str = ""
    flushed_from: str = ""
    forced_live: bool = False


class VM(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Configuration of one VM: what a backup holds.

    run: the number of the run that is wanted; start and restart raise it. task: id of the task that holds
    the VM, "" when free. xml: as the user gave it, name and uuid made true; what a node adds is not here.
    lifted: the latest protections of tags that were lifted, oldest first; they outlast the tags.
    max_downtime_ms: of a live migration, 0 for its node's. flushed_from: the node whose flush took it away.
    """

    uuid: str
    name: str
    xml: str
    node: str
    desired: Desired = Desired.STOPPED
    how: How = How.SHUTDOWN
    deadline_s: float | None = None
    run: int = 0
    task: str = ""
    moving: Moving | None = None
    last_node: str = ""
    flushed_from: str = ""
    node_limit: tuple[str, ...] = ()
    node_selector: Selector = Selector.NONE
    node_autostart: bool = False
    migration_method: MigrationMethod = MigrationMethod.NONE
    max_downtime_ms: int = 0
    profile: str = ""
    tags: tuple[Tag, ...] = ()
    lifted: tuple[Lifted, ...] = ()

    @property
    def nodes(self) -> tuple[str, ...]:
        """Where it may be: its own node, and the one that it is on its way to."""
        return (self.node,) if self.moving is None else (self.node, self.moving.target)

    @property
    def taken_from(self) -> tuple[str, ...]:
        """The nodes whose flush took it away, or takes it just now; "" where none did."""
        return (self.flushed_from,) if self.moving is None else (self.flushed_from, self.moving.flushed_from)


class Observed(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What its node last saw of one VM. Volatile.

    over_run: the run that `ended` (how, in words) or `failure` (the hypervisor's reason) speak of; with neither, the
    run that crashed. put_off: why a start waits that is tried again. crashes: in a row. free_slots, console, vnc
    (address and port): of the guest that runs.
    """

    power: Power = Power.UNKNOWN
    run: int | None = None
    over_run: int | None = None
    ended: str = ""
    failure: str = ""
    put_off: str = ""
    crashes: int = 0
    free_slots: int | None = None
    console: str = ""
    vnc: tuple[str, str] | None = None


class MemoryUse(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """KiB and events, as the guest's balloon and its QEMU count them; None: not told."""

    actual: int | None = None
    swap_in: int | None = None
    swap_out: int | None = None
    major_fault: int | None = None
    minor_fault: int | None = None
    unused: int | None = None
    available: int | None = None
    usable: int | None = None
    last_update: int | None = None
    rss: int | None = None


class CPUUse(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """Nanoseconds since the guest began; None: not told."""

    cpu_time: int | None = None
    user_time: int | None = None
    system_time: int | None = None


class NicUse(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """rd: what the guest received. None: not told."""

    rd_bytes: int | None = None
    rd_packets: int | None = None
    rd_errors: int | None = None
    rd_drops: int | None = None
    wr_bytes: int | None = None
    wr_packets: int | None = None
    wr_errors: int | None = None
    wr_drops: int | None = None


class DiskUse(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """None: not told."""

    rd_req: int | None = None
    rd_bytes: int | None = None
    wr_req: int | None = None
    wr_bytes: int | None = None


class Use(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """What one guest has used since it began. nics: by MAC. disks: by device name."""

    memory: MemoryUse = MemoryUse()
    cpu: CPUUse = CPUUse()
    nics: dict[str, NicUse] = {}
    disks: dict[str, DiskUse] = {}


class Node(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """peer: where this node's agent answers other pvc daemons, as unix:PATH or https://HOST:PORT.

    fingerprint: SHA-256 of the certificate that it shows at an https peer, in hexadecimal digits. machine:
    which machine bears the name; "" where there can be no other. task: the flush, or the end of one, that is under
    way, "" for none.
    """

    name: str
    peer: str = ""
    fingerprint: str = ""
    pvc_version: str = ""
    machine: str = ""
    domain_state: DomainState = DomainState.READY
    task: str = ""


class Waiting(msgspec.Struct, frozen=True, kw_only=True):
    """An agent that may not be this node, or not yet. reason: what follows "because"."""

    machine: str
    reason: str


class Stray(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A guest that runs on a node and is no VM of it. run: None where nothing says that it is ours."""

    name: str
    run: int | None = None


class NodeStatus(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One blob per node, written by its agent: facts, every VM it sees and what they use, by UUID. Memory in bytes.

    guests: those of `strays` that are not off, by UUID. looked_at: by the node's own clock. problem: why nothing is
    known of the hypervisor. use_problem: why `use` is empty. no_live: why no guest can come here live; encrypted: those
    that come do so; no_encryption: why none can leave so.
    """

    daemon: DaemonState | None = None
    looked_at: float = 0.0
    os: str = ""
    domain_type: str = ""
    domain_type_reason: str = ""
    arch: str = ""
    kernel: str = ""
    cpu_count: int = 0
    memory_total: int = 0
    memory_free: int = 0
    memory_reserve: int = 0
    load: float = 0.0
    libvirt_version: str = ""
    qemu_version: str = ""
    problem: str = ""
    strays: tuple[str, ...] = ()
    guests: dict[str, Stray] = {}
    vms: dict[str, Observed] = {}
    use: dict[str, Use] = {}
    use_problem: str = ""
    no_live: str = ""
    encrypted: bool = False
    no_encryption: str = ""


class Network(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """bridge: the bridge on every node that its NICs join."""

    vni: int
    description: str
    nettype: str = "bridged"
    mtu: int | None = None
    bridge: str = ""


class OVADisk(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """dev: its name in a VM made of the OVA. volume: POOL/VOLUME. size: bytes. file, format: what it came from, "" for
    a disk that was empty.
    """

    dev: str
    volume: str
    size: int
    file: str = ""
    format: str = ""


class OVANic(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """network, model: as the OVA's descriptor calls them."""

    network: str
    model: str = ""


class OVA(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A machine that was uploaded, to make VMs of. title: its own name. memory: MiB. size: bytes of the upload.

    whole: else its volumes are still being made, or on their way out, by the one who holds its lock, and nobody may
    use them. manifest: it had one, which holds; certificate: it had one, which nobody looked at. passed_over: files of
    it that are no disks.
    """

    name: str
    whole: bool = False
    title: str = ""
    vcpus: int
    memory: int
    efi: bool = False
    disks: tuple[OVADisk, ...]
    nics: tuple[OVANic, ...] = ()
    size: int = 0
    manifest: bool = False
    certificate: bool = False
    passed_over: tuple[str, ...] = ()
    created_by: str = ""
    created_at: float = 0.0


class Task(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A recorded long operation.

    target: ("vm", uuid), ("volume", "pool/name"), ("node", name), ("ova", name) or ("cluster", "pvc"). done, total:
    bytes or parts, total 0 when unknown.
    args: what the one who runs it needs. problem: {"code", "message"} when it failed. cancel: somebody asked for its
    end. figures: what was measured, each with its unit in its name. details: what else there is to tell of its result.
    """

    id: str
    kind: str
    target: tuple[str, str]
    name: str
    who: str = ""
    node: str = ""
    args: dict[str, str] = {}
    status: TaskStatus = TaskStatus.RUNNING
    phase: str = ""
    done: int = 0
    total: int = 0
    result: str = ""
    problem: dict[str, str] = {}
    cancel: bool = False
    figures: dict[str, int] = {}
    details: dict[str, str | list[str]] = {}
    created_at: float = 0.0
    updated_at: float = 0.0


class Maintenance(msgspec.Struct, frozen=True, kw_only=True):
    """There while the cluster is in maintenance: who began it, and when."""

    who: str
    since: float


class Token(msgspec.Struct, frozen=True, kw_only=True):
    """Who holds it may call the API. digest: "sha256:" and 64 hexadecimal digits; the token itself is kept nowhere."""

    name: str
    role: Role
    digest: str
    created_by: str
    created_at: float


class Made(StrEnum):
    """What made a generation of the records."""

    FIRST = ""  # an empty store, opened
    INIT = "init"
    RESTORE = "restore"
    ROLLBACK = "rollback"


class Cluster(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What `/pvc/current` holds: which generation is in force.

    previous: the generation before it. still: who has it stand still, as long as its lock of that name is held.
    """

    schema: int
    id: str
    generation: str
    created_at: float
    made: Made = Made.FIRST
    who: str = ""
    previous: str = ""
    still: str = ""


_R = TypeVar("_R", bound=msgspec.Struct)


def encode(record: msgspec.Struct) -> bytes:
    return msgspec.json.encode(record)


def decode(kind: type[_R], value: bytes, name: str) -> _R:
    """Raises Corrupt, naming the record, when it is not what this version can read."""
    try:
        return msgspec.json.decode(value, type=kind)
    except msgspec.MsgspecError as exc:
        raise Corrupt(kind=kind.__name__, name=name, reason=str(exc)) from exc
