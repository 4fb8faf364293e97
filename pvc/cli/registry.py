"""Every command by name. One is imported when it runs, all of a group when its help is asked for."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from typing import TYPE_CHECKING, Protocol, cast

if TYPE_CHECKING:
    from pvc.cli.client import Client
    from pvc.cli.output import Output


class Command(Protocol):
    """What each module of `commands` has. EXAMPLE: its arguments in one real use."""

    HELP: str
    EXAMPLE: str

    def arguments(self, parser: ArgumentParser) -> None: ...

    def run(self, args: Namespace, api: Client, out: Output) -> None: ...


GROUPS = {
    "cluster": "clusters that have names here, on this machine",
    "maintenance": "times at which nothing is an alarm",
    "node": "the machines that run VMs",
    "vm": "virtual machines",
    "vm tag": "tags of a VM",
    "vm vcpu": "CPUs of a VM",
    "vm memory": "memory of a VM",
    "vm network": "network interfaces of a VM, also while it runs",
    "vm volume": "disks of a VM, also while it runs",
    "network": "networks that VMs join",
    "storage": "Ceph, pools, volumes and snapshots",
    "storage osd": "the daemons that hold Ceph's data",
    "storage pool": "where volumes are kept",
    "storage volume": "disk images of VMs",
    "storage snapshot": "states of volumes to come back to",
    "provisioner": "machines to make VMs of",
    "provisioner ova": "machines that were uploaded as OVAs",
    "task": "long operations; backup and restore",
    "task generation": "configurations that are kept",
    "token": "who may speak to pvc over the network",
}

COMMANDS = (
    *("status", "events", "maintenance on", "maintenance off"),
    *("node list", "node info", "node log", "node flush", "node ready", "node remove"),
    *("vm list", "vm info", "vm dump", "vm define", "vm modify", "vm rename", "vm meta"),
    *("vm start", "vm restart", "vm shutdown", "vm stop", "vm disable"),
    *("vm migrate", "vm unmigrate", "vm move", "vm flush-locks"),
    *("vm undefine", "vm remove", "vm log"),
    *("vm tag get", "vm tag add", "vm tag remove", "vm tag unprotect"),
    *("vm vcpu get", "vm vcpu set", "vm memory get", "vm memory set"),
    *("vm network get", "vm network add", "vm network remove"),
    *("vm volume get", "vm volume add", "vm volume remove"),
    *("network list", "network info", "network add", "network modify", "network remove"),
    *("storage status", "storage util"),
    *("storage osd list", "storage osd in", "storage osd out", "storage osd set", "storage osd unset"),
    *("storage pool list", "storage pool add", "storage pool set-pgs", "storage pool remove"),
    *("storage volume list", "storage volume info", "storage volume add", "storage volume resize"),
    *("storage volume rename", "storage volume clone", "storage volume remove", "storage volume upload"),
    "storage volume download",
    *("storage snapshot list", "storage snapshot add", "storage snapshot rename"),
    *("storage snapshot rollback", "storage snapshot remove"),
    *("provisioner ova list", "provisioner ova info", "provisioner ova upload"),
    *("provisioner ova define", "provisioner ova remove"),
    *("task list", "task show", "task wait", "task cancel"),
    *("task backup", "task restore", "task rollback", "task init"),
    *("task generation list", "task generation remove"),
    *("token list", "token add", "token remove"),
    *("cluster list", "cluster add", "cluster remove"),
    "doctor",
    "completion",
)


def load(name: str) -> Command:
    """Import the module of one of COMMANDS; packaging/pvc.spec names them all to PyInstaller."""
    module = f"pvc.cli.commands.{name.replace(' ', '_').replace('-', '_')}"
    return cast(Command, __import__(module, fromlist=["HELP"]))
