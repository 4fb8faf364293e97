"""Every command by name. One is imported when it runs, all of a group when its help is asked for."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from types import ModuleType
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
    """Import the module of one of COMMANDS."""
    loaders = {
        "maintenance": _maintenance,
        "node": _node,
        "vm": _vm,
        "network": _network,
        "storage": _storage,
        "provisioner": _provisioner,
        "task": _task,
        "token": _token,
        "cluster": _cluster,
    }
    return cast(Command, loaders.get(name.partition(" ")[0], _alone)(name))


def _alone(name: str) -> ModuleType:
    module: ModuleType
    match name:
        case "status":
            import pvc.cli.commands.status as module
        case "events":
            import pvc.cli.commands.events as module
        case "doctor":
            import pvc.cli.commands.doctor as module
        case "completion":
            import pvc.cli.commands.completion as module
        case _:
            raise LookupError(name)
    return module


def _maintenance(name: str) -> ModuleType:
    module: ModuleType
    match name:
        case "maintenance on":
            import pvc.cli.commands.maintenance_on as module
        case "maintenance off":
            import pvc.cli.commands.maintenance_off as module
        case _:
            raise LookupError(name)
    return module


def _node(name: str) -> ModuleType:
    module: ModuleType
    match name:
        case "node list":
            import pvc.cli.commands.node_list as module
        case "node info":
            import pvc.cli.commands.node_info as module
        case "node log":
            import pvc.cli.commands.node_log as module
        case "node flush":
            import pvc.cli.commands.node_flush as module
        case "node ready":
            import pvc.cli.commands.node_ready as module
        case "node remove":
            import pvc.cli.commands.node_remove as module
        case _:
            raise LookupError(name)
    return module


def _network(name: str) -> ModuleType:
    module: ModuleType
    match name:
        case "network list":
            import pvc.cli.commands.network_list as module
        case "network info":
            import pvc.cli.commands.network_info as module
        case "network add":
            import pvc.cli.commands.network_add as module
        case "network modify":
            import pvc.cli.commands.network_modify as module
        case "network remove":
            import pvc.cli.commands.network_remove as module
        case _:
            raise LookupError(name)
    return module


def _token(name: str) -> ModuleType:
    module: ModuleType
    match name:
        case "token list":
            import pvc.cli.commands.token_list as module
        case "token add":
            import pvc.cli.commands.token_add as module
        case "token remove":
            import pvc.cli.commands.token_remove as module
        case _:
            raise LookupError(name)
    return module


def _cluster(name: str) -> ModuleType:
    module: ModuleType
    match name:
        case "cluster list":
            import pvc.cli.commands.cluster_list as module
        case "cluster add":
            import pvc.cli.commands.cluster_add as module
        case "cluster remove":
            import pvc.cli.commands.cluster_remove as module
        case _:
            raise LookupError(name)
    return module


def _task(name: str) -> ModuleType:
    module: ModuleType
    match name:
        case "task list":
            import pvc.cli.commands.task_list as module
        case "task show":
            import pvc.cli.commands.task_show as module
        case "task wait":
            import pvc.cli.commands.task_wait as module
        case "task cancel":
            import pvc.cli.commands.task_cancel as module
        case "task backup":
            import pvc.cli.commands.task_backup as module
        case "task restore":
            import pvc.cli.commands.task_restore as module
        case "task rollback":
            import pvc.cli.commands.task_rollback as module
        case "task init":
            import pvc.cli.commands.task_init as module
        case "task generation list":
            import pvc.cli.commands.task_generation_list as module
        case "task generation remove":
            import pvc.cli.commands.task_generation_remove as module
        case _:
            raise LookupError(name)
    return module


def _provisioner(name: str) -> ModuleType:
    module: ModuleType
    match name:
        case "provisioner ova list":
            import pvc.cli.commands.provisioner_ova_list as module
        case "provisioner ova info":
            import pvc.cli.commands.provisioner_ova_info as module
        case "provisioner ova upload":
            import pvc.cli.commands.provisioner_ova_upload as module
        case "provisioner ova define":
            import pvc.cli.commands.provisioner_ova_define as module
        case "provisioner ova remove":
            import pvc.cli.commands.provisioner_ova_remove as module
        case _:
            raise LookupError(name)
    return module


def _vm(name: str) -> ModuleType:
    module: ModuleType
    match name:
        case "vm list":
            import pvc.cli.commands.vm_list as module
        case "vm info":
            import pvc.cli.commands.vm_info as module
        case "vm dump":
            import pvc.cli.commands.vm_dump as module
        case "vm define":
            import pvc.cli.commands.vm_define as module
        case "vm modify":
            import pvc.cli.commands.vm_modify as module
        case "vm rename":
            import pvc.cli.commands.vm_rename as module
        case "vm meta":
            import pvc.cli.commands.vm_meta as module
        case "vm start":
            import pvc.cli.commands.vm_start as module
        case "vm restart":
            import pvc.cli.commands.vm_restart as module
        case "vm shutdown":
            import pvc.cli.commands.vm_shutdown as module
        case "vm stop":
            import pvc.cli.commands.vm_stop as module
        case "vm disable":
            import pvc.cli.commands.vm_disable as module
        case "vm migrate":
            import pvc.cli.commands.vm_migrate as module
        case "vm unmigrate":
            import pvc.cli.commands.vm_unmigrate as module
        case "vm move":
            import pvc.cli.commands.vm_move as module
        case "vm flush-locks":
            import pvc.cli.commands.vm_flush_locks as module
        case "vm undefine":
            import pvc.cli.commands.vm_undefine as module
        case "vm remove":
            import pvc.cli.commands.vm_remove as module
        case "vm log":
            import pvc.cli.commands.vm_log as module
        case _:
            return _part_of_vm(name)
    return module


def _part_of_vm(name: str) -> ModuleType:
    module: ModuleType
    match name:
        case "vm tag get":
            import pvc.cli.commands.vm_tag_get as module
        case "vm tag add":
            import pvc.cli.commands.vm_tag_add as module
        case "vm tag remove":
            import pvc.cli.commands.vm_tag_remove as module
        case "vm tag unprotect":
            import pvc.cli.commands.vm_tag_unprotect as module
        case "vm vcpu get":
            import pvc.cli.commands.vm_vcpu_get as module
        case "vm vcpu set":
            import pvc.cli.commands.vm_vcpu_set as module
        case "vm memory get":
            import pvc.cli.commands.vm_memory_get as module
        case "vm memory set":
            import pvc.cli.commands.vm_memory_set as module
        case "vm network get":
            import pvc.cli.commands.vm_network_get as module
        case "vm network add":
            import pvc.cli.commands.vm_network_add as module
        case "vm network remove":
            import pvc.cli.commands.vm_network_remove as module
        case "vm volume get":
            import pvc.cli.commands.vm_volume_get as module
        case "vm volume add":
            import pvc.cli.commands.vm_volume_add as module
        case "vm volume remove":
            import pvc.cli.commands.vm_volume_remove as module
        case _:
            raise LookupError(name)
    return module


def _storage(name: str) -> ModuleType:
    module: ModuleType
    match name:
        case "storage volume list":
            import pvc.cli.commands.storage_volume_list as module
        case "storage volume info":
            import pvc.cli.commands.storage_volume_info as module
        case "storage volume add":
            import pvc.cli.commands.storage_volume_add as module
        case "storage volume resize":
            import pvc.cli.commands.storage_volume_resize as module
        case "storage volume rename":
            import pvc.cli.commands.storage_volume_rename as module
        case "storage volume clone":
            import pvc.cli.commands.storage_volume_clone as module
        case "storage volume remove":
            import pvc.cli.commands.storage_volume_remove as module
        case "storage volume download":
            import pvc.cli.commands.storage_volume_download as module
        case "storage volume upload":
            import pvc.cli.commands.storage_volume_upload as module
        case "storage snapshot list":
            import pvc.cli.commands.storage_snapshot_list as module
        case "storage snapshot add":
            import pvc.cli.commands.storage_snapshot_add as module
        case "storage snapshot rename":
            import pvc.cli.commands.storage_snapshot_rename as module
        case "storage snapshot rollback":
            import pvc.cli.commands.storage_snapshot_rollback as module
        case "storage snapshot remove":
            import pvc.cli.commands.storage_snapshot_remove as module
        case _:
            return _ceph(name)
    return module


def _ceph(name: str) -> ModuleType:
    module: ModuleType
    match name:
        case "storage status":
            import pvc.cli.commands.storage_status as module
        case "storage util":
            import pvc.cli.commands.storage_util as module
        case "storage osd list":
            import pvc.cli.commands.storage_osd_list as module
        case "storage osd in":
            import pvc.cli.commands.storage_osd_in as module
        case "storage osd out":
            import pvc.cli.commands.storage_osd_out as module
        case "storage osd set":
            import pvc.cli.commands.storage_osd_set as module
        case "storage osd unset":
            import pvc.cli.commands.storage_osd_unset as module
        case "storage pool list":
            import pvc.cli.commands.storage_pool_list as module
        case "storage pool add":
            import pvc.cli.commands.storage_pool_add as module
        case "storage pool set-pgs":
            import pvc.cli.commands.storage_pool_set_pgs as module
        case "storage pool remove":
            import pvc.cli.commands.storage_pool_remove as module
        case _:
            raise LookupError(name)
    return module
