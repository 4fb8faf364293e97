"""Commands that somebody may look for and this version does not have: what is said instead."""

from __future__ import annotations

from pvc.cli.failure import Failure

# By command, or by group for the words of _WORDS below it.
_INSTEAD = {
    "vm console": 'There is no interactive console yet; "pvc vm log VM -f" reads it.',
    "storage osd": "Making, replacing and removing OSDs is not part of this version of pvc: Ceph's own tools do it.",
    "storage benchmark": "The storage benchmark is not part of this version of pvc.",
    "provisioner": "Of the provisioner this version of pvc has OVAs only.",
    "network acl": "A network's access list is not part of this version of pvc.",
    "network dhcp": "A network's DHCP lease list is not part of this version of pvc.",
    "network sriov": "SR-IOV is not part of this version of pvc.",
}
_WORDS = {
    "storage osd": ("add", "remove", "replace", "refresh", "create-db-vg"),
    "provisioner": ("create", "profile", "template", "userdata", "script"),
}


def unbuilt(words: str) -> Failure | None:
    """words: of a command that is not known, as far as they were read."""
    group, _, last = words.rpartition(" ")
    text = _INSTEAD.get(words) or (_INSTEAD[group] if last in _WORDS.get(group, ()) else None)
    return Failure("not_built", text) if text else None
