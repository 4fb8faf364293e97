"""What an agent is told: one small value, so that tests need no whole configuration."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from pvc.config import Config
from pvc.hypervisor.base import Tuning
from pvc.model.flushing import Limits
from pvc.model.records import Selector
from pvc.units import MIB


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Times in seconds."""

    node: str
    console_path: str
    # "" where no other machine can bear the node's name.
    machine: str = ""
    replaces: str = ""
    memory_reserve: int = 0
    hotplug_slots: int = 8
    interval_s: float = 10.0
    shutdown_timeout_s: float = 180.0
    detach_timeout_s: float = 20.0
    # A guest asked to shut down while it boots does not hear it: ask again this often.
    ask_again_s: float = 10.0
    # How long after a guest vanished its event may still come.
    event_grace_s: float = 2.0
    # How long a look waits for what guests use.
    use_patience_s: float = 2.0
    # After how long without libvirt's answer the log says so; nothing is decided meanwhile.
    silence_s: float = 15.0
    # Where another node's libvirt reaches this one's; "" takes no live migrations.
    migration_uri: str = ""
    # Of QEMU's TLS; nothing is asked of it where `migration_uri` sends all in the clear.
    migration_certificates: str = ""
    tuning: Tuning = field(default_factory=Tuning)
    # How long a live copy may make no progress before more downtime is allowed, and then before it is given up.
    stall_s: float = 10.0
    patience_s: float = 120.0
    # How a node is chosen for a VM that has no selector of its own.
    selector: Selector = Selector.MEMPROV
    # How many guests a flush moves at the same time: in all, and to one node.
    flush_limits: Limits = field(default_factory=Limits)
    links_path: str = "/sys/class/net"

    def tuning_at(self, max_downtime_ms: int) -> Tuning:
        return replace(self.tuning, max_downtime_ms=max_downtime_ms)


@dataclass(frozen=True, slots=True, kw_only=True)
class Door:
    """Where servers may ask this agent, and for what. listen: "ADDRESS:PORT", empty for the unix socket instead."""

    socket: str
    listen: str = ""
    console_path: str
    log_path: str


def door_from(config: Config) -> Door:
    return Door(
        socket=config.agent.socket,
        listen=config.agent.listen,
        console_path=config.hypervisor.console_path,
        log_path=config.agent.log_path,
    )


def settings_from(config: Config, machine: str) -> Settings:
    return Settings(
        node=config.agent.node_name,
        machine="" if config.standalone else machine,
        replaces=config.agent.replaces,
        memory_reserve=config.agent.memory_reserve_mib * MIB,
        console_path=config.hypervisor.console_path,
        hotplug_slots=config.hypervisor.hotplug_slots,
        interval_s=config.agent.interval_s,
        shutdown_timeout_s=config.agent.shutdown_timeout_s,
        detach_timeout_s=config.agent.detach_timeout_s,
        migration_uri=config.hypervisor.migration_uri,
        migration_certificates=config.hypervisor.migration_certificates,
        tuning=Tuning(
            max_downtime_ms=config.migration.max_downtime_ms,
            bandwidth=config.migration.bandwidth_mib * MIB,
            auto_converge=config.migration.auto_converge,
            post_copy=config.migration.post_copy,
        ),
        stall_s=config.migration.stall_s,
        patience_s=config.migration.patience_s,
        selector=Selector(config.placement.selector),
        flush_limits=Limits(at_once=config.migration.flush_at_once, to_one=config.migration.flush_at_once_to_one),
    )
