"""Every path in the store, once. All state lives under one generation's root; CURRENT names it."""

from __future__ import annotations

from dataclasses import dataclass

BASE = "/pvc"
CURRENT = f"{BASE}/current"
LOCKS = f"{BASE}/locks"
# Beside the generations: restoring a backup changes nobody's right to speak.
TOKENS = f"{BASE}/tokens"
PEER_KEY = f"{BASE}/peer-key"
SETTINGS = f"{BASE}/settings"
MAINTENANCE = f"{SETTINGS}/maintenance"

# Names of locks: who puts another generation in force, and who has the one in force stand still for a moment.
RECOVERY = "recovery"
STANDSTILL = "standstill"


def generation_root(name: str) -> str:
    return f"{BASE}/{name}"


def lock_path(name: str) -> str:
    return f"{LOCKS}/{name}"


@dataclass(frozen=True, slots=True)
class Paths:
    """root: a generation, as "/pvc/1"."""

    root: str

    @property
    def folders(self) -> tuple[str, ...]:
        names = ("vms", "vm-names", "networks", "network-names", "nodes", "ovas", "tasks")
        return tuple(f"{self.root}/{name}" for name in names)

    @property
    def mirrored(self) -> dict[str, int]:
        """What lists and events are made of, each folder with the levels of records below it."""
        return {self.vms: 1, self.networks: 1, self.nodes: 2, self.tasks: 1, SETTINGS: 1}

    @property
    def vms(self) -> str:
        return f"{self.root}/vms"

    @property
    def networks(self) -> str:
        return f"{self.root}/networks"

    @property
    def nodes(self) -> str:
        return f"{self.root}/nodes"

    @property
    def ovas(self) -> str:
        return f"{self.root}/ovas"

    @property
    def tasks(self) -> str:
        return f"{self.root}/tasks"

    def vm(self, uuid: str) -> str:
        return f"{self.root}/vms/{uuid}"

    def vm_name(self, name: str) -> str:
        return f"{self.root}/vm-names/{name}"

    def network(self, vni: int) -> str:
        return f"{self.root}/networks/{vni}"

    def network_name(self, description: str) -> str:
        return f"{self.root}/network-names/{description}"

    def node(self, name: str) -> str:
        return f"{self.root}/nodes/{name}"

    def node_alive(self, name: str) -> str:
        return f"{self.root}/nodes/{name}/alive"

    def node_waiting(self, name: str) -> str:
        return f"{self.root}/nodes/{name}/waiting"

    def node_status(self, name: str) -> str:
        return f"{self.root}/nodes/{name}/status"

    def ova(self, name: str) -> str:
        return f"{self.root}/ovas/{name}"

    def task(self, task_id: str) -> str:
        return f"{self.root}/tasks/{task_id}"
