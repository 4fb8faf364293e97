"""Every route of the API with one request that it grants, and what it must refuse."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from pvc.model import backup
from pvc.model.backup import Taken
from pvc.model.content import Content
from pvc.units import MIB
from tests.parts import documents
from tests.parts.ova import RAW, archive, described, member

MAC = "52:54:00:00:00:01"
STORAGE = "/storage/ceph"
VOLUME, SNAPSHOT = f"{STORAGE}/volume/{{pool}}/{{volume}}", f"{STORAGE}/snapshot/{{pool}}/{{volume}}/{{snapshot}}"


@dataclass(frozen=True, slots=True)
class Case:
    """good: parameters of a request that is granted where `there` names what exists.

    wrong: values that are not what the parameter takes. data: what is uploaded; then parameters stand in the query
    alone.
    """

    method: str
    path: str
    good: dict[str, Any] = field(default_factory=dict)
    wrong: dict[str, str] = field(default_factory=dict)
    there: dict[str, str] = field(default_factory=dict)
    data: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.method} {self.path}"

    @property
    def body(self) -> bool:
        """Whether the request takes parameters in its body too."""
        return not self.data

    @property
    def ways(self) -> tuple[str, ...]:
        """Where its parameters may stand."""
        if not self.good:
            return ("query",)
        return ("query", "form", "json") if self.method == "GET" else ("query", "form", "json", "multipart")

    @property
    def real(self) -> str:
        return self.path.format(**(THERE | self.there))

    @property
    def parts(self) -> list[str]:
        """What the path names; a definition by path ignores the name there."""
        names = ("vm", "pool", "volume", "snapshot", "vni", "node", "task", "token", "osd", "generation", "ova")
        return [part for part in names if f"{{{part}}}" in self.path and part not in self.there.get("new", "")]


# What the table finds there: see the fixture `furnished`.
THERE = {
    "vm": "web1",
    "pool": "local",
    "volume": "disk0",
    "snapshot": "snap",
    "vni": "100",
    "node": "hv1",
    "task": "t1",
    "token": "read",
    "osd": "0",
    "generation": "0",
    "ova": "app",
}
OVA = archive(member("x.ovf", described(("a.img", RAW), capacity=MIB)), member("a.img", b"new"))
NO_OVA = {"ova_size": "big", "checksum": "md5:0"}
POOL, CONFIRMED = f"{STORAGE}/pool/{{pool}}", "yes-i-really-mean-it"
LAYOUT = {"pgs": 8, "replcfg": "copies=3,mincopies=2"}
NO_LAYOUT = {"pgs": "0", "replcfg": "copies=2,mincopies=3", "tier": "tape"}
YES_NO = {"live": "perhaps", "restart": "2"}
NO_TAGS = {"tag": "a b", "any_tag": "-a", "without_tag": "a/b"}

BACKUP = backup.document(Content(), "c", Taken(at="", revision=0, generation="")).decode()

CASES = [
    Case(
        "POST",
        "/initialize",
        {CONFIRMED: "yes", "overwrite": "true"},
        {CONFIRMED: "no", "overwrite": "2", "dry_run": "2"},
    ),
    Case("GET", "/backup", {}, {"secrets": "perhaps"}),
    Case(
        "POST",
        "/restore",
        {CONFIRMED: "yes", "cluster_data": BACKUP, "force": "true"},
        {CONFIRMED: "YES", "cluster_data": "{}", "force": "2", "dry_run": "2"},
    ),
    Case(
        "POST",
        "/rollback",
        {CONFIRMED: "yes", "generation": "1", "force": "true"},
        {CONFIRMED: "", "force": "2", "dry_run": "2"},
    ),
    Case("GET", "/generations"),
    Case("DELETE", "/generations/{generation}"),
    Case("GET", "/openapi.json"),
    Case("GET", "/tokens"),
    Case("POST", "/tokens", {"name": "ops", "role": "read"}, {"name": "a/b", "role": "root"}),
    Case("DELETE", "/tokens/{token}"),
    Case("GET", "/"),
    Case("GET", "/status"),
    Case("POST", "/status", {"state": "true"}, {"state": "perhaps"}),
    Case("GET", "/events", wrong={"kind": "cat", "follow": "2", "after": "yesterday"}),
    Case("GET", "/names", wrong={"kind": "cat", "most": "0"}),
    Case("GET", "/node", wrong={"limit": "("}),
    Case("GET", "/node/{node}"),
    Case("GET", "/node/{node}/log", wrong={"lines": "-1", "follow": "2"}),
    Case("GET", "/node/{node}/daemon-state"),
    Case("GET", "/node/{node}/coordinator-state"),
    Case("GET", "/node/{node}/domain-state"),
    Case("POST", "/node/{node}/domain-state", {"state": "ready"}, {"state": "empty", "wait": "perhaps"}),
    Case("GET", "/node/{node}/flush-plan"),
    Case("DELETE", "/node/{node}", there={"node": "left"}),
    Case("GET", "/vm", wrong={"limit": "(", "node": "absent", "state": "asleep", "negate": "perhaps", **NO_TAGS}),
    Case(
        "POST",
        "/vm",
        {"xml": documents.vm("new1")},
        {"selector": "best", "migration_method": "x", "autostart": "2", "dry_run": "2"},
    ),
    Case(
        "POST",
        "/vm/{vm}",
        {"xml": documents.vm("new2")},
        {"user_tags": "-a", "protected_tags": "a b", "node": "absent", "limit": "a/b"},
        there={"new": "vm"},
    ),
    Case("GET", "/vm/{vm}"),
    Case("PUT", "/vm/{vm}", {"xml": documents.vm("web1")}, {"restart": "perhaps", "dry_run": "2"}),
    Case("DELETE", "/vm/{vm}", wrong={"delete_disks": "some", "dry_run": "2", "wait": "long"}),
    Case("POST", "/vm/{vm}/rename", {"new_name": "web9"}, {"new_name": "a/b"}),
    Case("GET", "/vm/{vm}/meta"),
    Case(
        "POST",
        "/vm/{vm}/meta",
        {"migration_method": "live"},
        {"migration_method": "fly", "selector": "best", "limit": "absent", "autostart": "2", "profile": "a\n"}
        | {"migration_max_downtime": "-1"},
    ),
    Case("GET", "/vm/{vm}/node"),
    Case("GET", "/vm/{vm}/locks"),
    Case("POST", "/vm/{vm}/locks"),
    Case("GET", "/vm/{vm}/state"),
    Case(
        "POST",
        "/vm/{vm}/state",
        {"state": "start"},
        {"state": "fly", "force": "2", "wait": "long", "timeout": "-1"},
    ),
    Case("GET", "/vm/{vm}/vcpu"),
    Case("POST", "/vm/{vm}/vcpu", {"vcpu": 2}, {"vcpu": "0", "topology": "1/3/1", "restart": "2"}),
    Case("GET", "/vm/{vm}/memory"),
    Case("POST", "/vm/{vm}/memory", {"memory": "1G"}, {"memory": "much", "restart": "2"}),
    Case("POST", "/vm/{vm}/device", {"xml": documents.nic(MAC, "vmbr100")}, YES_NO),
    Case("DELETE", "/vm/{vm}/device", {"xml": documents.nic("52:54:00:00:00:09")}, YES_NO),
    Case("GET", "/vm/{vm}/network"),
    Case("POST", "/vm/{vm}/network", {"net": "100"}, {**YES_NO, "mac": "52:54", "model": "a b"}),
    Case("DELETE", "/vm/{vm}/network", {"mac": "52:54:00:00:00:09"}, YES_NO),
    Case("GET", "/vm/{vm}/volume"),
    Case(
        "POST",
        "/vm/{vm}/volume",
        {"volume": "local/disk0"},
        {**YES_NO, "volume": "disk0", "bus": "floppy", "disk_id": "../x"},
    ),
    Case("DELETE", "/vm/{vm}/volume", {"volume": "local/own"}, YES_NO),
    Case("GET", "/vm/{vm}/tags"),
    Case("POST", "/vm/{vm}/tags", {"action": "add", "tag": "t"}, {"action": "x", "tag": "-", "protected": "2"}),
    Case("GET", "/vm/{vm}/console", wrong={"lines": "-1", "follow": "2"}),
    Case("GET", "/network", wrong={"limit": "("}),
    Case(
        "POST",
        "/network",
        {"vni": 7, "description": "dmz", "nettype": "bridged"},
        {"vni": "0", "mtu": "1", "bridge": "a/b", "nettype": "x", "description": "a b"},
    ),
    Case("GET", "/network/{vni}"),
    Case("DELETE", "/network/{vni}", there={"vni": "101"}),
    Case(
        "POST",
        "/network/{vni}",
        {"description": "dmz", "nettype": "bridged"},
        {"mtu": "1", "bridge": "a/b", "nettype": "x", "description": "a b"},
        there={"vni": "7", "new": "vni"},
    ),
    Case("PUT", "/network/{vni}", {"description": "servers"}, {"mtu": "1", "description": "a b"}),
    Case("GET", f"{STORAGE}/pool", wrong={"limit": "("}),
    Case("GET", POOL),
    Case("POST", f"{STORAGE}/pool", {"pool": "fast", **LAYOUT}, {"pool": "a/b", **NO_LAYOUT}),
    Case("POST", POOL, LAYOUT, NO_LAYOUT, there={"pool": "fast", "new": "pool"}),
    Case("PUT", POOL, {"pgs": 16}, {"pgs": "12"}, there={"pool": "vms"}),
    Case("DELETE", POOL, {CONFIRMED: "yes"}, {CONFIRMED: "no", "dry_run": "2", "wait": "long"}, there={"pool": "vms"}),
    Case("GET", f"{STORAGE}/status"),
    Case("GET", f"{STORAGE}/utilization"),
    Case("POST", f"{STORAGE}/option", {"option": "noout", "action": "set"}, {"option": "full", "action": "x"}),
    Case("GET", f"{STORAGE}/osd", wrong={"limit": "("}),
    Case("GET", f"{STORAGE}/osd/{{osd}}"),
    Case("GET", f"{STORAGE}/osd/{{osd}}/state"),
    Case("POST", f"{STORAGE}/osd/{{osd}}/state", {"state": "out"}, {"state": "away"}),
    Case("GET", f"{STORAGE}/volume", wrong={"limit": "a{1000}{1000}"}),
    Case("POST", f"{STORAGE}/volume", {"pool": "local", "volume": "n", "size": "1M"}, {"size": "big", "volume": "a/b"}),
    Case("GET", VOLUME),
    Case("POST", VOLUME, {"size": "1M"}, {"size": "0"}, there={"volume": "new", "new": "volume"}),
    Case("PUT", VOLUME, {"new_size": "2M"}, {"new_size": "-1", "force": "2", "wait": "long"}),
    Case("DELETE", VOLUME, wrong={"wait": "long"}, there={"volume": "bare"}),
    Case("POST", f"{VOLUME}/clone", {"new_volume": "copy"}, {"new_volume": "../copy", "wait": "long"}),
    Case(
        "POST",
        f"{VOLUME}/upload",
        {"image_format": "raw"},
        {"image_format": "floppy", "checksum": "md5:0"},
        data=b"new",
    ),
    Case("GET", f"{VOLUME}/upload", {"resume": "w"}, there={"volume": "begun"}),
    Case(
        "PATCH",
        f"{VOLUME}/upload",
        {"resume": "w"},
        there={"volume": "begun"},
        data=b"rest",
        headers={"Upload-Offset": "0"},
    ),
    Case("GET", f"{VOLUME}/download", wrong={"image_format": "floppy", "sparse": "2"}),
    Case("GET", f"{STORAGE}/snapshot", wrong={"limit": "("}),
    Case(
        "POST",
        f"{STORAGE}/snapshot",
        {"pool": "local", "volume": "disk0", "snapshot": "new"},
        {"snapshot": "a/b", "wait": "long"},
    ),
    Case("GET", SNAPSHOT),
    Case("POST", SNAPSHOT, wrong={"wait": "long"}, there={"snapshot": "new", "new": "snapshot"}),
    Case("PUT", SNAPSHOT, {"new_name": "other"}, {"new_name": "a/b"}),
    Case("DELETE", SNAPSHOT, wrong={"wait": "long"}),
    Case("POST", f"{SNAPSHOT}/rollback", wrong={"wait": "long"}),
    Case("GET", "/provisioner/ova", wrong={"limit": "("}),
    Case("POST", "/provisioner/ova", {"pool": "local", "name": "new1"}, {"name": "a/b", **NO_OVA}, data=OVA),
    Case("GET", "/provisioner/ova/{ova}"),
    Case("POST", "/provisioner/ova/{ova}", {"pool": "local"}, NO_OVA, there={"ova": "new2", "new": "ova"}, data=OVA),
    Case("DELETE", "/provisioner/ova/{ova}", wrong={"wait": "long"}),
    Case(
        "POST",
        "/provisioner/ova/{ova}/define",
        {"name": "made"},
        {"name": "a/b", "network": "lan", "limit": "absent", "node": "absent", "selector": "best"} | {"wait": "long"},
    ),
    Case("GET", "/tasks", wrong={"status": "lost", "limit": "("}),
    Case("GET", "/tasks/{task}", wrong={"after": "x", "wait": "3600"}),
    Case("POST", "/tasks/{task}", {"action": "cancel"}, {"action": "hasten"}, there={"task": "t2"}),
    Case(
        "POST",
        "/vm/{vm}/node",
        {"action": "move", "node": "hv1"},
        {"action": "fly", "node": "a/b", "force": "2", "wait": "perhaps", "force_live": "2"},
    ),
]
