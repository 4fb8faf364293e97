"""A backup of the original Parallel Virtual Cluster, as records of ours: VMs with their settings and tags, networks.

It is one object of values by path: "/domains/UUID" is a VM's name and its settings stand below, "/networks/VNI" a
network's description. What has no place here is told, never left out in silence.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from pvc.errors import InvalidXML
from pvc.model import domain
from pvc.model.content import Content
from pvc.model.records import VM, Desired, MigrationMethod, Network, Node, Selector, Tag

# The schemas whose VMs and networks stand where this module looks for them.
SCHEMAS = range(16)

_TRUE = frozenset(("true", "t", "yes", "y", "on", "1"))
_WANTED = {
    **dict.fromkeys(("start", "restart", "migrate", "migrate-live", "unmigrate"), Desired.RUNNING),
    "disable": Desired.DISABLED,
}


@dataclass(slots=True)
class _Tree:
    """The backup with its values as texts. notes: what is not restored, a sentence each."""

    values: Mapping[str, str]
    below: dict[str, list[str]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        for path in self.values:
            parent, _, name = path.rpartition("/")
            self.below.setdefault(parent, []).append(name)

    def get(self, path: str) -> str:
        """ "" for what is not there, and for what was stored as the text None."""
        value = self.values.get(path, "")
        return "" if value == "None" else value

    def children(self, path: str) -> list[str]:
        return sorted(self.below.get(path, []))


def content(backup: Mapping[str, Any]) -> tuple[Content, list[str]]:
    """Returns what is restored, and what is not. Raises ValueError, with a phrase, for what cannot be read."""
    tree = _Tree({path: value for path, value in backup.items() if isinstance(value, str)})
    schema = tree.get("/schema/version")
    if not schema.isascii() or not schema.isdigit() or int(schema) not in SCHEMAS:
        raise ValueError(f'has the schema "{schema}" under "/schema/version", which this pvc does not know')
    vms = [_vm(tree, uuid) for uuid in tree.children("/domains")]
    networks = [network for vni in tree.children("/networks") if (network := _network(tree, vni)) is not None]
    names = {*tree.children("/nodes"), *(vm.node for vm in vms)}
    if left := [kind for kind, path in _LEFT if tree.children(path)]:
        tree.notes.append(f"Not restored, for pvc keeps no such records: {', '.join(left)}.")
    return Content.ordered(networks, [Node(name=name) for name in names if name], vms), tree.notes


_LEFT = (
    ("Ceph's OSDs, pools, volumes and snapshots (Ceph has them)", "/ceph/volumes"),
    ("logs of nodes", "/logs"),
)


def _vm(tree: _Tree, uuid: str) -> VM:
    path = f"/domains/{uuid}"
    name = tree.get(path)
    try:
        xml = domain.normalise(tree.get(f"{path}/xml"), new_uuid=uuid, name=name)
    except InvalidXML as exc:
        raise ValueError(f'cannot be restored: the XML of VM "{name}": {exc.fields["reason"]}') from exc
    selector, method = tree.get(f"{path}/node_selector").lower(), tree.get(f"{path}/migration_method").lower()
    return VM(
        uuid=uuid,
        name=name,
        xml=xml,
        node=tree.get(f"{path}/node"),
        desired=_WANTED.get(tree.get(f"{path}/state"), Desired.STOPPED),
        last_node=tree.get(f"{path}/lastnode"),
        node_limit=tuple(word for word in tree.get(f"{path}/node_limit").replace(",", " ").split() if word),
        node_selector=Selector(selector) if selector in list(Selector) else Selector.NONE,
        node_autostart=tree.get(f"{path}/node_autostart").lower() in _TRUE,
        migration_method=MigrationMethod(method) if method in list(MigrationMethod) else MigrationMethod.NONE,
        profile=tree.get(f"{path}/profile"),
        tags=tuple(_tags(tree, f"{path}/tags")),
    )


def _tags(tree: _Tree, path: str) -> Iterator[Tag]:
    for name in tree.children(path):
        protected = tree.get(f"{path}/{name}/protected").lower() in _TRUE
        yield Tag(name=name, type=tree.get(f"{path}/{name}/type") or "user", protected=protected)


def _network(tree: _Tree, vni: str) -> Network | None:
    """None, and a note, for what is no bridged network."""
    path = f"/networks/{vni}"
    kind, mtu = tree.get(f"{path}/nettype"), tree.get(f"{path}/mtu")
    if not (vni.isascii() and vni.isdigit()) or kind != "bridged":
        tree.notes.append(f'Network "{vni}" of type "{kind}" is not restored: pvc has bridged networks only.')
        return None
    return Network(
        vni=int(vni),
        description=tree.get(path) or f"vni{vni}",
        mtu=int(mtu) if mtu.isascii() and mtu.isdigit() else None,
        bridge=f"vmbr{vni}",
    )
