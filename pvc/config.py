"""Configuration: TOML in, typed and checked values out. Every problem is found at once; an unknown key is a problem."""

from __future__ import annotations

import dataclasses
import os
import re
import socket
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from pvc import toml
from pvc.addresses import problem_with_beginning
from pvc.cephconfig import NAME, Ceph, RBDPool

DEFAULT_PATH = Path("/etc/pvc/pvc.toml")

# How tomllib says it; what follows is where.
_TWICE = re.compile(r"Cannot declare \((.*)\) twice( \(.*\))")

_OR_UNPROTECTED = ", or store.unprotected = true, which leaves the whole cluster to everybody who reaches ZooKeeper."

# What libvirt plugs into a running guest besides disks and NICs, and pvc can tell apart.
_MORE_DEVICES = ("rng", "watchdog", "input", "channel", "vsock", "hostdev")


class ConfigProblems(Exception):
    """Each item of `problems` is one sentence that names the key."""

    def __init__(self, problems: list[str]) -> None:
        self.problems = problems
        super().__init__("\n".join(problems))


@dataclass(frozen=True, slots=True, kw_only=True)
class API:
    # Unix socket that root reaches without a token. Its folder is made when missing.
    socket: str = "/run/pvc/pvc.sock"
    # Address and port for clients on the network, as "127.0.0.1:7370" or "[::]:7370"; empty: the unix socket only.
    # They need a token: `pvc token add`.
    listen: str = ""
    # Certificate and key files (PEM) for `listen`; both empty: plain HTTP.
    tls_certificate: str = ""
    tls_key: str = ""
    # Answer /metrics to whoever reaches `listen`, without a token: it has the names of nodes, VMs and pools, and what
    # they use. Otherwise it takes a token with the role "read", as `Authorization: Bearer TOKEN` too.
    open_metrics: bool = False

    def problems(self) -> Iterator[str]:
        if self.listen and not _host_port(self.listen):
            yield 'api.listen must be written as "ADDRESS:PORT".'
        if bool(self.tls_certificate) != bool(self.tls_key):
            yield "api.tls_certificate and api.tls_key must be given together."


@dataclass(frozen=True, slots=True, kw_only=True)
class Store:
    # "embedded": one SQLite file, one machine. "zookeeper": a cluster.
    kind: str = "embedded"
    # File of the embedded store.
    path: str = "/var/lib/pvc/pvc.db"
    # ZooKeeper servers, as ["10.0.0.1:2181"].
    hosts: tuple[str, ...] = ()
    # ZooKeeper session timeout, seconds: a dead daemon's locks vanish this long after its last sign of life.
    session_timeout_s: float = 20.0
    # Who this cluster is to ZooKeeper, the same on all its machines: every record is closed to all others. The
    # password is one line in a file that only root can read.
    user: str = ""
    password_file: str = ""
    # ZooKeeper without `user`: whoever reaches ZooKeeper's port reads, changes and deletes the whole cluster.
    unprotected: bool = False
    # File (PEM) with the CA that signed ZooKeeper's certificates; with it all connections are encrypted, and each
    # server must show a certificate for the name or address that `hosts` has for it. Empty: no encryption.
    tls_ca: str = ""
    # Certificate and key files (PEM) to show, where ZooKeeper wants them.
    tls_certificate: str = ""
    tls_key: str = ""

    def problems(self) -> Iterator[str]:
        if self.kind not in ("embedded", "zookeeper"):
            yield 'store.kind must be "embedded" or "zookeeper".'
        if self.kind == "zookeeper":
            yield from self._zookeeper_problems()
        if self.session_timeout_s < 2:
            yield "store.session_timeout_s must be at least 2."

    def _zookeeper_problems(self) -> Iterator[str]:
        if not self.hosts:
            yield "store.hosts must name at least one ZooKeeper server."
        if bool(self.user) != bool(self.password_file):
            yield "store.user and store.password_file must be given together."
        elif self.user and self.unprotected:
            yield "store.unprotected must be false where store.user is given."
        elif not self.user and not self.unprotected:
            yield "store.user and store.password_file must be given" + _OR_UNPROTECTED
        if self.user and not NAME.fullmatch(self.user):
            yield "store.user must have only letters, digits, dots, dashes or underscores."
        if bool(self.tls_certificate) != bool(self.tls_key):
            yield "store.tls_certificate and store.tls_key must be given together."
        if self.tls_certificate and not self.tls_ca:
            yield "store.tls_certificate needs store.tls_ca."


@dataclass(frozen=True, slots=True, kw_only=True)
class DirectoryPool:
    # "directory": a folder of this machine. "rbd": Ceph, with the keys of RBDPool.
    kind: str = "directory"
    # Folder of the pool's volumes, one sparse raw file each. Made when missing.
    path: str = ""

    def problems(self) -> Iterator[str]:
        if not self.path.startswith("/"):
            yield "path must be an absolute folder name."


AnyPool = DirectoryPool | RBDPool


@dataclass(frozen=True, slots=True, kw_only=True)
class Hypervisor:
    # libvirt's address.
    uri: str = "qemu:///system"
    # "kvm", "qemu" (software emulation), or "auto": kvm where the CPU can, else qemu.
    domain_type: str = "auto"
    # Devices that can be plugged into a running guest beyond those it is defined with; each costs a PCI port.
    hotplug_slots: int = 8
    # Folder of the guests' console logs, one file each.
    console_path: str = "/var/log/pvc/consoles"
    # Where other nodes' libvirt reaches this one's to move guests here, as "qemu+tls://10.0.0.1/system". Empty: no
    # guest comes here live. Guests' memory is then encrypted too, by QEMU's own TLS. "qemu+tcp://..." alone sends
    # passwords and memory in the clear, and libvirt lets in whoever reaches the port: for a network of the nodes alone.
    migration_uri: str = ""
    # Folder of QEMU's certificates for migrations, as qemu.conf has it (`migrate_tls_x509_cert_dir`): ca-cert.pem,
    # server-cert.pem, server-key.pem, client-cert.pem, client-key.pem. The agent says what is missing there.
    migration_certificates: str = "/etc/pki/qemu"
    # Let a VM's XML name host files, host block devices and host PCI or USB devices: whoever may define VMs is then
    # as good as root on the nodes.
    allow_host_devices: bool = False
    # Kinds of devices that may be plugged in besides disks and NICs: "rng", "watchdog", "input", "channel", "vsock",
    # and "hostdev" where allow_host_devices is true.
    more_devices: tuple[str, ...] = ()

    def problems(self) -> Iterator[str]:
        if self.domain_type not in ("auto", "kvm", "qemu"):
            yield 'hypervisor.domain_type must be "auto", "kvm" or "qemu".'
        if not 0 <= self.hotplug_slots <= 24:
            yield "hypervisor.hotplug_slots must be 0 to 24."
        if self.migration_uri and not self.migration_uri.startswith("qemu"):
            yield 'hypervisor.migration_uri must be empty or begin with "qemu".'
        for kind in self.more_devices:
            if kind not in _MORE_DEVICES:
                yield f'hypervisor.more_devices has "{kind}", which is none of {", ".join(_MORE_DEVICES)}.'
        if "hostdev" in self.more_devices and not self.allow_host_devices:
            yield 'hypervisor.more_devices may have "hostdev" only where hypervisor.allow_host_devices is true.'


@dataclass(frozen=True, slots=True, kw_only=True)
class Agent:
    # Name of this machine in the cluster; empty: its host name.
    node: str = ""
    # Where this agent answers `pvc serve`: a unix socket (standalone).
    socket: str = "/run/pvc/agent.sock"
    # Address and port for the cluster's servers, and nobody else, to read consoles and this node's log, as
    # "10.0.0.11:7371"; empty: on this machine only, by the socket.
    listen: str = ""
    # File of this node's log, as `pvc node log` shows it, and the bytes that it may take.
    log_path: str = "/var/log/pvc/agent.log"
    log_bytes: int = 20 << 20
    # The machine whose place this one takes in the cluster, as `pvc node info` shows it: only after that one is off for
    # good, for two that both run a node's guests destroy their disks.
    replaces: str = ""
    # Memory (MiB) that the machine keeps for itself: no VM is placed on the node that would need it.
    memory_reserve_mib: int = 512
    # Seconds between two full looks at everything, besides those that events cause.
    interval_s: float = 10.0
    # Seconds a guest has to shut down before the plug is pulled, unless the request says otherwise.
    shutdown_timeout_s: float = 180.0
    # Seconds a guest has to let go of a device.
    detach_timeout_s: float = 20.0

    def problems(self) -> Iterator[str]:
        if self.node and not NAME.fullmatch(self.node):
            yield "agent.node must have only letters, digits, dots, dashes or underscores."
        if self.listen and not _host_port(self.listen):
            yield 'agent.listen must be written as "ADDRESS:PORT".'
        elif self.listen.rpartition(":")[0] in ("0.0.0.0", "[::]"):  # noqa: S104 (refused here)
            yield "agent.listen must name the one address at which servers reach this machine."
        if not self.log_path.startswith("/"):
            yield "agent.log_path must be an absolute file name."
        if self.log_bytes < 1 << 20:
            yield "agent.log_bytes must be at least 1048576."
        if self.memory_reserve_mib < 0:
            yield "agent.memory_reserve_mib must not be negative."
        for name in ("interval_s", "shutdown_timeout_s", "detach_timeout_s"):
            if getattr(self, name) <= 0:
                yield f"agent.{name} must be more than 0."

    @property
    def node_name(self) -> str:
        return self.node or socket.gethostname().partition(".")[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class Migration:
    """Of guests that leave this node."""

    # Longest time (ms) that a guest may stand still at the end of a live migration. A quarter of it is allowed at
    # first, more only when the copy does not come to its end.
    max_downtime_ms: int = 500
    # Most that one migration sends, MiB a second; 0: as much as the network gives.
    bandwidth_mib: int = 0
    # Slow a guest down that changes its memory faster than it can be copied.
    auto_converge: bool = True
    # Let a guest that still outruns the copy go on at the target before its memory is all there: it then waits for what
    # is missing, and is lost if either node fails meanwhile. Each node that such a guest may go to then needs
    # vm.unprivileged_userfaultfd = 1 (sysctl) unless its QEMU runs as root: without, its QEMU takes no guest live.
    post_copy: bool = False
    # Seconds without progress before more downtime is allowed.
    stall_s: float = 10.0
    # Seconds without progress, with all downtime allowed, before a live migration is given up.
    patience_s: float = 120.0
    # Guests that leave this node, or come home to it, at the same time when it is flushed or made ready: more share the
    # same network and each takes longer.
    flush_at_once: int = 4
    # Of these, guests that go to the same node at the same time.
    flush_at_once_to_one: int = 4

    def problems(self) -> Iterator[str]:
        for name in ("max_downtime_ms", "stall_s", "patience_s", "flush_at_once", "flush_at_once_to_one"):
            if getattr(self, name) <= 0:
                yield f"migration.{name} must be more than 0."
        if self.bandwidth_mib < 0:
            yield "migration.bandwidth_mib must not be negative."


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    # Uploads at the same time; one more is refused. Each takes memory: unpacking alone up to 72 MiB, for "xz -9".
    most_at_once: int = 4
    # Downloads at the same time; one more is refused.
    most_downloads: int = 8
    # Largest image accepted, bytes as received; packed, what is inside is bounded by its volume.
    largest_bytes: int = 16 << 40
    # Seconds without a byte from the client after which an upload is given up; of a download, without one taken by it.
    idle_timeout_s: float = 60.0
    # Seconds that an upload whose connection broke waits for its client to go on, where the client asked for that; it
    # counts as an upload, and its volume stays reserved. 0: none waits.
    resume_s: float = 120.0
    # What this server may fetch for who names an address instead of sending an image: beginnings of addresses, as
    # ["https://images.example/debian/"], at which redirects must end too. Empty: nothing. Whoever may upload can have
    # everything below them fetched, with this machine's place in the network.
    fetch_from: tuple[str, ...] = ()
    # Seconds that one fetch may take in all.
    fetch_s: float = 14400.0
    # Limits of one qemu-img: memory in bytes, CPU time in seconds.
    convert_memory_bytes: int = 2 << 30
    convert_cpu_s: int = 3600

    def problems(self) -> Iterator[str]:
        for item in dataclasses.fields(self):
            if item.name not in ("resume_s", "fetch_from") and getattr(self, item.name) <= 0:
                yield f"upload.{item.name} must be more than 0."
        for one in self.fetch_from:
            if problem := problem_with_beginning(one):
                yield f'upload.fetch_from has "{one}", which {problem}.'
        if self.resume_s < 0:
            yield "upload.resume_s must not be negative."


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    # How a node is chosen for a VM that names neither node nor selector: "mem" (most memory free), "memprov" (least
    # memory promised to VMs, running or not), "vcpus", "load", "vms" (fewest).
    selector: str = "memprov"

    def problems(self) -> Iterator[str]:
        if self.selector not in ("mem", "memprov", "vcpus", "load", "vms"):
            yield 'placement.selector must be "mem", "memprov", "vcpus", "load" or "vms".'


@dataclass(frozen=True, slots=True, kw_only=True)
class Tasks:
    # Seconds that a long operation that has ended is shown, a week unless changed; counted by each server from when it
    # saw the end. The thousand latest are kept at most.
    kept_s: float = 604800.0

    def problems(self) -> Iterator[str]:
        if self.kept_s <= 0:
            yield "tasks.kept_s must be more than 0."


def _default_pools() -> dict[str, AnyPool]:
    return {"local": DirectoryPool(path="/var/lib/pvc/pools/local")}


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    # "debug", "info", "warning".
    log_level: str = "info"
    api: API = field(default_factory=API)
    store: Store = field(default_factory=Store)
    # Pools by name.
    pools: dict[str, AnyPool] = field(default_factory=_default_pools)
    ceph: Ceph = field(default_factory=Ceph)
    hypervisor: Hypervisor = field(default_factory=Hypervisor)
    agent: Agent = field(default_factory=Agent)
    placement: Placement = field(default_factory=Placement)
    upload: Upload = field(default_factory=Upload)
    migration: Migration = field(default_factory=Migration)
    tasks: Tasks = field(default_factory=Tasks)

    @property
    def standalone(self) -> bool:
        return self.store.kind == "embedded"

    def problems(self) -> Iterator[str]:
        if self.log_level not in ("debug", "info", "warning"):
            yield 'log_level must be "debug", "info" or "warning".'
        for name in ("api", "store", "ceph", "hypervisor", "agent", "placement", "upload", "migration", "tasks"):
            yield from getattr(self, name).problems()
        if self.agent.listen and self.standalone:
            yield 'agent.listen is for a cluster (store.kind = "zookeeper").'
        for name, pool in self.pools.items():
            if not NAME.fullmatch(name):
                yield f'pools."{name}" must be named with letters, digits, dots, dashes or underscores.'
            yield from (f'pools."{name}".{problem}' for problem in pool.problems())
            if self.ceph.conf and isinstance(pool, RBDPool):
                yield f'pools."{name}" must not be of kind "rbd" beside [ceph], whose pools are there by themselves.'


def load(path: Path | None) -> Config:
    """Read `path`; None means DEFAULT_PATH where it exists, else the defaults (standalone).

    Raises ConfigProblems with everything that is wrong.
    """
    if path is None:
        path = Path(os.environ.get("PVC_CONFIG", DEFAULT_PATH))
        if not path.exists() and "PVC_CONFIG" not in os.environ:
            return Config()
    try:
        return parse(path.read_text(), f'"{path}"')
    except OSError as exc:
        raise ConfigProblems([f'"{path}" cannot be read: {exc.strerror}']) from exc
    except UnicodeDecodeError as exc:
        raise ConfigProblems([f'"{path}" cannot be read: it is not UTF-8']) from exc


def parse(text: str, name: str = "The configuration") -> Config:
    """Raises ConfigProblems with everything that is wrong."""
    try:
        raw = tomllib.loads(text)
    except tomllib.TOMLDecodeError as exc:
        raise ConfigProblems([_no_toml(name, str(exc))]) from exc
    problems: list[str] = []
    config: Config = toml.build(Config, raw, "", problems)
    problems.extend(config.problems())
    if problems:
        raise ConfigProblems(problems)
    return config


def _no_toml(name: str, why: str) -> str:
    if twice := _TWICE.fullmatch(why):
        section = ".".join(re.findall(r"'([^']*)'", twice[1]))
        return f"{name} has the section [{section}] twice{twice[2]}: write its keys below the first."
    return f"{name} is not TOML: {why}"


def show(config: Config) -> str:
    """The configuration in force as TOML that `parse` reads back."""
    return "\n".join(toml.lines_of(dataclasses.asdict(config), ""))


def _host_port(text: str) -> bool:
    host, colon, port = text.rpartition(":")
    return bool(host and colon and port.isdigit() and 0 < int(port) < 65536)
