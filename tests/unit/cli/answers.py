"""What the API answers to reads, in its own shapes."""

from __future__ import annotations

from typing import Any

from tests.unit.cli.fake_api import Answer, FakeAPI

UUID1 = "10000000-0000-4000-8000-000000000001"
TASK_ID = "6ba7b810-9dad-41d1-80b4-00c04fd430c8"

NICS = [
    {"type": "bridge", "vni": "100", "mac": "52:54:00:00:00:01", "source": "vmbr100", "model": "virtio"}
    | {"rd_bytes": 1536, "wr_bytes": 3 << 20},
    {"type": "bridge", "vni": "", "mac": "52:54:00:00:00:02", "source": "br-lab", "model": "e1000"},
]
DISKS = [
    {"type": "file", "name": "local/web1", "dev": "vda", "bus": "virtio", "rd_bytes": 0, "wr_bytes": 10 << 30},
    {"type": "file", "name": "local/data1", "dev": "vdb", "bus": "virtio"},
]
TAGS = [
    {"name": "web", "type": "user", "protected": False},
    {"name": "keep", "type": "user", "protected": True},
]
TOKEN_OF_OPS = {"name": "ops", "role": "operate", "created_by": "root", "created_at": 1736078400.5, "problem": ""}
GENERATIONS = [
    {"generation": "1", "in_force": False, "made": "first", "who": "", "previous": "", "cluster": "c"}
    | {"created_at": "2025-01-05T12:00:00+00:00"},
    {"generation": "2", "in_force": True, "made": "restore", "who": 'token "ops"', "previous": "1", "cluster": "c"}
    | {"created_at": "2025-01-05T13:00:00+00:00"},
]
LIFTED = [{"tag": "old", "who": 'token "ops"', "at": 1736078400.5}]
WEB1: dict[str, Any] = {
    "name": "web1",
    "uuid": UUID1,
    "state": "start",
    "power": "running",
    "task": "",
    "free_slots": 7,
    "node": "hv1",
    "last_node": "",
    "failed_reason": "",
    "node_limit": None,
    "node_selector": "mem",
    "node_autostart": True,
    "migration_method": "none",
    "tags": TAGS,
    "description": "the first web server",
    "memory": 1536,
    "memory_stats": {"actual": 1572864, "rss": 700000},
    "vcpu_stats": {"cpu_time": 123456789012},
    "console": "pty",
    "vcpu": 2,
    "vcpu_topology": "1/2/1",
    "networks": NICS,
    "arch": "x86_64",
    "machine": "q35",
    "vnc": {"listen": "127.0.0.1", "port": "5900"},
    "disks": DISKS,
    "xml": "<domain type='kvm'>\n  <name>web1</name>\n</domain>\n",
}
BROKEN: dict[str, Any] = {
    **WEB1,
    "name": "db-früh",
    "state": "fail",
    "power": "off",
    "failed_reason": "internal: process exited\nqemu: \x1b[31mcould not open disk\x1b[0m",
    "task": TASK_ID,
    "free_slots": None,
    "memory": 4096,
    "memory_stats": {},
    "vcpu_stats": {},
    "vcpu": 16,
    "networks": [],
    "disks": [],
    "tags": [],
    "vnc": {"listen": "None", "port": "None"},
    "vcpu_topology": "N/A",
}
NODE: dict[str, Any] = {
    "name": "hv1",
    "daemon_state": "run",
    "domain_state": "ready",
    "pvc_version": "0.1.0",
    "cpu_count": 16,
    "kernel": "6.1.0-18-amd64",
    "os": "Debian GNU/Linux 12 (bookworm)",
    "machine": "hv1 (3f2a9c)",
    "arch": "x86_64",
    "health": 90,
    "problem": "",
    "domain_type": "qemu",
    "domain_type_reason": "the CPU has no vmx or svm flag",
    "libvirt_version": "9.0.0",
    "qemu_version": "7.2.9",
    "strays": ["old1"],
    "health_details": [
        {"name": "agent", "health_delta": 0, "message": "Its agent runs."},
        {"name": "strays", "health_delta": 10, "message": "Domains run here that pvc does not know: old1."},
    ],
    "load": 17.2,
    "domains_count": 2,
    "running_domains": ["web1", "web2"],
    "vcpu": {"total": 16, "allocated": 4},
    "memory": {
        "total": 24576,
        "allocated": 3072,
        "provisioned": 6144,
        "used": 5120,
        "free": 19456,
        "reserve": 512,
    },
}
DEAD: dict[str, Any] = {
    **NODE,
    "name": "hv2",
    "daemon_state": "dead",
    "domain_state": "flushed",
    "health": 0,
    "problem": "Its agent does not answer, and did not end in order; what else is shown is the last that it said.",
    "domains_count": 0,
    "memory": {},
    "load": 0.0,
}
STRAY = "Domains run here that pvc does not know: old."
STATUS: dict[str, Any] = {
    "cluster_health": {"health": 90, "messages": [f'Node "hv1": {STRAY}']},
    "node_health": {"hv1": {"health": 90, "messages": [STRAY]}},
    "reasons": [{"kind": "node", "name": "hv1", "points": 10, "text": f'Node "hv1": {STRAY}'}],
    "alarm": "warning",
    "mode": "standalone",
    "maintenance": "false",
    "maintenance_by": "",
    "maintenance_since": None,
    "pvc_version": "0.1.0",
    "nodes": {"total": 1, "run,ready": 1},
    "vms": {"total": 5, "start": 1, "stop": 4, "fail": 0},
    "networks": 1,
    "pools": 1,
    "volumes": 3,
    "snapshots": 0,
}
NETWORK = {"vni": 100, "description": "servers", "type": "bridged", "bridge": "vmbr100", "mtu": "None"}
POOL = {
    "name": "local",
    "volume_count": 3,
    "shared": False,
    "node": "hv1",
    "stats": {"total_bytes": 110 << 30, "used_bytes": 3 << 30, "free_bytes": 100 << 30},
    "problem": "",
}
VOLUME = {
    "name": "web1",
    "pool": "local",
    "stats": {
        "name": "web1",
        "size": "10G",
        "used_bytes": 1717986918,
        "snapshot_count": 1,
        "create_timestamp": "2025-01-05T12:00:00+00:00",
        "modify_timestamp": "2025-01-05T13:00:00+00:00",
    },
}
OSD = {
    "id": "0",
    "node": "hv1",
    "device": "/dev/sdb",
    "db_device": "",
    "stats": {"up": 1, "in": 0, "class": "ssd", "pgs": 33, "used": "1.5G", "avail": "8.5G", "utilization": 15.04},
}
CEPH_STATUS = {"type": "status", "primary_node": "hv1", "ceph_data": "  cluster:\n    health: HEALTH_OK\n"}
CEPH_UTILIZATION = {"type": "utilization", "primary_node": "hv1", "ceph_data": "TOTAL\t10 GiB\n"}
SNAPSHOT = {
    "pool": "local",
    "volume": "web1",
    "snapshot": "before-upgrade",
    "size_bytes": 10 << 30,
    "created_at": 1736078400.5,
}
TASK: dict[str, Any] = {
    "id": TASK_ID,
    "kind": "upload",
    "target": "volume/local/web1",
    "name": "local/web1",
    "who": "root",
    "node": "hv1",
    "status": "running",
    "phase": "converting",
    "done": 1 << 30,
    "total": 4 << 30,
    "result": "",
    "problem": {},
    "created_at": 1736078400.0,
    "updated_at": 1736078460.5,
    "version": 3,
}
DONE = {**TASK, "status": "done", "done": 4 << 30, "version": 4, "result": 'Uploaded an image to "local/web1".'}

_EVENT = {"event": "9-00000000-1", "at": 1736078400.0, "kind": "vm", "name": "web1", "id": WEB1["uuid"]}
_OFF = {"state": "stop", "power": "off", "node": "hv1", "task": "", "failed_reason": "", "doubt": ""}
STARTED = {
    **_EVENT,
    "change": "changed",
    "changed": {"state": ["stop", "start"], "task": ["", "6ba7"]},
    "now": {**_OFF, "state": "start", "task": "6ba7"},
}
EVENTS: list[dict[str, Any]] = [
    {**_EVENT, "change": "created", "changed": {}, "now": _OFF},
    {**_EVENT, "change": "changed", "changed": {}, "now": _OFF},
    STARTED,
    {**_EVENT, "kind": "network", "name": "lan", "change": "deleted", "changed": {}, "now": {"mtu": None}},
]
FLUSH_PLAN = {
    "name": "hv1",
    "moves": [
        {"vm": "web1", "running": True, "memory": 1536, "node": "hv2", "way": "live, else shutdown"}
        | {"uuid": UUID1, "vcpus": 2, "shutdown": "if live fails"},
        {"vm": "old", "running": False, "memory": 512, "node": "hv3", "way": "off"}
        | {"uuid": UUID1, "vcpus": 1, "shutdown": "no"},
    ],
    "stays": [
        {"vm": "db", "running": True, "memory": 4096, "way": "live", "uuid": UUID1, "vcpus": 16, "shutdown": "no"}
        | {"reason": "hv2: needs 4096 MiB, 1200 MiB free; hv3: is not ready but flushed"},
    ],
}
OVA = {
    "id": "app",
    "name": "app",
    "title": "An appliance",
    "vcpus": 2,
    "memory": 512,
    "firmware": "bios",
    "volumes": [
        {
            "disk_id": "vda",
            "disk_size_gb": 20,
            "pool": "local",
            "volume_name": "ova_app_vda",
            "volume_format": "raw",
            "size": 20 << 30,
            "file": "app-disk1.vmdk",
            "file_format": "vmdk",
        },
        {
            "disk_id": "vdb",
            "disk_size_gb": 1,
            "pool": "local",
            "volume_name": "ova_app_vdb",
            "volume_format": "raw",
            "size": 1 << 30,
            "file": "",
            "file_format": "",
        },
    ],
    "networks": [{"network": "VM Network", "model": "E1000"}, {"network": "dmz", "model": ""}],
    "size": 734003200,
    "manifest": True,
    "certificate": True,
    "passed_over": ["cd.iso"],
    "created_by": "root",
    "created_at": 1700000000.0,
    "problem": "",
}
LOST_OVA = {"id": "lost", "name": "lost", "volumes": [], "problem": "The record cannot be read: it is damaged"}

READS: dict[str, Any] = {
    "/events": EVENTS,
    "/status": STATUS,
    "/node": [NODE, DEAD],
    "/node/hv1": [NODE],
    "/node/hv2": [DEAD],
    "/vm": [WEB1, BROKEN],
    "/vm/web1": [WEB1],
    "/vm/db": [BROKEN],
    "/node/hv1/flush-plan": FLUSH_PLAN,
    "/node/hv1/log": {"name": "hv1", "data": "one\ntwo\n"},
    "/vm/web1/console": {"name": "web1", "data": "tick 1\ntick 2\n"},
    "/vm/web1/locks": [{"volume": "vms/web1", "owner": "client.4123", "address": "10.99.0.1:0/1234"}],
    "/vm/web1/tags": {"name": "web1", "tags": TAGS, "unprotected": LIFTED},
    "/vm/web1/vcpu": {"name": "web1", "vcpu": 2, "vcpu_topology": "1/2/1"},
    "/vm/web1/memory": {"name": "web1", "memory": 1536},
    "/vm/web1/network": NICS,
    "/vm/web1/volume": DISKS,
    "/network": [NETWORK],
    "/network/100": [NETWORK],
    "/storage/ceph/status": CEPH_STATUS,
    "/storage/ceph/utilization": CEPH_UTILIZATION,
    "/storage/ceph/osd": [OSD],
    "/storage/ceph/pool": [POOL],
    "/storage/ceph/volume": [VOLUME],
    "/storage/ceph/volume/local/web1": [VOLUME],
    "/storage/ceph/snapshot": [SNAPSHOT],
    "/provisioner/ova": [OVA, LOST_OVA],
    "/provisioner/ova/app": [OVA],
    "/provisioner/ova/lost": [LOST_OVA],
    "/tasks": [TASK],
    "/tokens": [TOKEN_OF_OPS],
    "/generations": GENERATIONS,
    f"/tasks/{TASK_ID}": DONE,
}


def told(api: FakeAPI) -> FakeAPI:
    for path, answer in READS.items():
        api.tell(f"GET {path}", Answer(answer))
    return api
