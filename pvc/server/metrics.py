"""/metrics: the cluster and this server's own work in numbers, for Prometheus."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from aiohttp import web

from pvc import __version__
from pvc.cluster.placing import size
from pvc.cluster.state import Held, MirrorView
from pvc.cluster.volumes import all_pools
from pvc.errors import PVCError, StoreUnavailable
from pvc.model import health
from pvc.model.health import Alarm, Reason
from pvc.model.observing import ALIVE
from pvc.model.records import VM, NodeStatus, Observed, Task, Use
from pvc.server.census import Census, CephSeen, census, look_at_ceph, of_pool
from pvc.server.events import READERS
from pvc.server.exposition import CONTENT_TYPE, Metric, Page, Type
from pvc.server.measures import MEASURES
from pvc.server.parts import CEPH, CONFIG, POOLS
from pvc.server.session import view_of
from pvc.server.uploads import UNDER_WAY
from pvc.storage.base import Pool, Statistics
from pvc.units import MIB

# VMs that are told before other requests have their turn.
_TURN = 200

_G, _C = Type.GAUGE, Type.COUNTER
_NODE, _VM, _POOL = ("node",), ("vm", "node"), ("pool",)
_NIC, _DISK = ("vm", "node", "mac"), ("vm", "node", "dev")

METRICS = (
    Metric("pvc_info", _G, "1, with this server's version.", ("version", "mode")),
    Metric("pvc_store_up", _G, "Whether the cluster store answers this server."),
    Metric("pvc_cluster_health", _G, "Health of the cluster, 100 at best, without a look at each volume."),
    Metric("pvc_cluster_alarm", _G, "0: nothing is wrong, or maintenance; 1: warning; 2: critical."),
    Metric("pvc_cluster_maintenance", _G, "Whether the cluster is in maintenance."),
    Metric("pvc_cluster_reasons", _G, "Things that are wrong.", ("kind",)),
    Metric("pvc_node_up", _G, "Whether the node's agent runs.", _NODE),
    Metric("pvc_node_state", _G, "1, with the node's states.", ("node", "daemon_state", "domain_state")),
    Metric("pvc_node_health", _G, "Health of the node, 100 at best.", _NODE),
    Metric("pvc_node_load", _G, "Processes that run or want to, on average over a minute.", _NODE),
    Metric("pvc_node_cpus", _G, "CPUs.", _NODE),
    Metric("pvc_node_vcpus_allocated", _G, "vCPUs of VMs that run or are to run.", _NODE),
    Metric("pvc_node_memory_bytes", _G, "Memory.", _NODE),
    Metric("pvc_node_memory_used_bytes", _G, "Memory that is used, by guests and others.", _NODE),
    Metric("pvc_node_memory_free_bytes", _G, "Memory that is free.", _NODE),
    Metric("pvc_node_memory_allocated_bytes", _G, "Memory of VMs that run or are to run.", _NODE),
    Metric("pvc_node_memory_provisioned_bytes", _G, "Memory of all VMs of the node.", _NODE),
    Metric("pvc_node_vms_running", _G, "VMs that run.", _NODE),
    Metric("pvc_vms", _G, "VMs in each state.", ("state",)),
    Metric("pvc_vm_state", _G, "1, with the VM's state.", ("vm", "node", "state")),
    Metric("pvc_vm_running", _G, "Whether the VM runs, as its node last saw it.", _VM),
    Metric("pvc_vm_vcpus", _G, "vCPUs that the VM is defined with.", _VM),
    Metric("pvc_vm_memory_bytes", _G, "Memory that the VM is defined with.", _VM),
    Metric("pvc_vm_memory_rss_bytes", _G, "Memory of the node that the VM's QEMU holds.", _VM),
    Metric("pvc_vm_cpu_seconds_total", _C, "Time that the VM's QEMU has computed.", _VM),
    Metric("pvc_vm_network_receive_bytes_total", _C, "Bytes that a NIC of the guest received.", _NIC),
    Metric("pvc_vm_network_transmit_bytes_total", _C, "Bytes that a NIC of the guest sent.", _NIC),
    Metric("pvc_vm_disk_read_bytes_total", _C, "Bytes that the guest read from a disk.", _DISK),
    Metric("pvc_vm_disk_written_bytes_total", _C, "Bytes that the guest wrote to a disk.", _DISK),
    Metric("pvc_vm_disk_reads_total", _C, "Requests to read from a disk.", _DISK),
    Metric("pvc_vm_disk_writes_total", _C, "Requests to write to a disk.", _DISK),
    Metric("pvc_networks", _G, "Networks."),
    Metric("pvc_pool_up", _G, "Whether the pool answers.", _POOL),
    Metric("pvc_pool_bytes", _G, "Bytes that the pool can hold.", _POOL),
    Metric("pvc_pool_used_bytes", _G, "Bytes that volumes of the pool take.", _POOL),
    Metric("pvc_pool_free_bytes", _G, "Bytes that a new volume could really hold.", _POOL),
    Metric("pvc_pool_volumes", _G, "Volumes of the pool.", _POOL),
    Metric("pvc_ceph_up", _G, "Whether Ceph's administration answers; not there without Ceph."),
    Metric("pvc_osds", _G, "Ceph's OSDs in each state.", ("state",)),
    Metric("pvc_tasks", _G, "Long operations that are recorded.", ("kind", "status")),
    Metric(
        "pvc_api_request_seconds", Type.HISTOGRAM, "Until this server's answers began.", ("method", "path", "status")
    ),
    Metric("pvc_uploads", _G, "Uploads that this server receives."),
    Metric("pvc_upload_bytes_total", _C, "Bytes of images that this server received."),
    Metric("pvc_event_readers", _G, "Readers that follow events at this server."),
)
_ALARMS = {Alarm.NONE: 0, Alarm.SILENCED: 0, Alarm.WARNING: 1, Alarm.CRITICAL: 2}


async def get_metrics(request: web.Request) -> web.StreamResponse:
    """Also while the store is away: the server's own work, and that it is."""
    page = _own(request.app)
    try:
        await _add_cluster(page, request.app, await view_of(request))
    except StoreUnavailable:
        page = _own(request.app)
        page.add("pvc_store_up", 0)
    else:
        page.add("pvc_store_up", 1)
    response = web.StreamResponse(headers={"Content-Type": CONTENT_TYPE})
    await response.prepare(request)
    for piece in page.pieces():
        await response.write(piece)
    return response


def _own(app: web.Application) -> Page:
    page, measures = Page(METRICS), app[MEASURES]
    page.add("pvc_info", 1, __version__, "standalone" if app[CONFIG].standalone else "cluster")
    for labels, histogram in sorted(measures.answers.items()):
        page.add_histogram("pvc_api_request_seconds", histogram, *labels)
    page.add("pvc_uploads", len(app[UNDER_WAY]))
    page.add("pvc_upload_bytes_total", measures.uploaded)
    page.add("pvc_event_readers", len(app[READERS]))
    return page


async def _add_cluster(page: Page, app: web.Application, view: MirrorView) -> None:
    """Raises StoreUnavailable."""
    found = await census(view)
    pools = await all_pools(app[POOLS])
    seen = dict(zip((pool.name for pool in pools), await asyncio.gather(*map(_statistics, pools)), strict=True))
    ceph = await look_at_ceph(app[CEPH])
    in_pools = [reason for name, one in seen.items() for reason in of_pool(name, one)]
    _add_condition(page, found, [*found.reasons, *in_pools, *ceph.reasons])
    for node in found.nodes:
        _add_node(page, node)
    await _add_vms(page, found, view)
    _add_storage(page, seen, ceph, known=app[CEPH] is not None)
    _add_tasks(page, [item.record for item in await view.tasks() if isinstance(item, Held)])


async def _statistics(pool: Pool) -> Statistics | PVCError:
    try:
        return await pool.statistics()
    except PVCError as exc:
        return exc


def _add_condition(page: Page, found: Census, reasons: Sequence[Reason]) -> None:
    page.add("pvc_cluster_health", health.score(reasons))
    page.add("pvc_cluster_alarm", _ALARMS[health.alarm(reasons, maintenance=found.working is not None)])
    page.add("pvc_cluster_maintenance", found.working is not None)
    for kind, count in sorted(Counter(reason.kind for reason in reasons).items()):
        page.add("pvc_cluster_reasons", count, kind)
    page.add("pvc_networks", found.networks)
    for state, count in sorted(found.states.items()):
        page.add("pvc_vms", count, state)


def _add_node(page: Page, node: Mapping[str, Any]) -> None:
    name, memory = node["name"], node["memory"]
    page.add("pvc_node_up", node["daemon_state"] == "run", name)
    page.add("pvc_node_state", 1, name, node["daemon_state"], node["domain_state"])
    page.add("pvc_node_health", node["health"], name)
    page.add("pvc_node_load", node["load"], name)
    page.add("pvc_node_cpus", node["cpu_count"], name)
    page.add("pvc_node_vcpus_allocated", node["vcpu"]["allocated"], name)
    page.add("pvc_node_memory_bytes", memory["total"] * MIB, name)
    for part in ("used", "free", "allocated", "provisioned"):
        page.add(f"pvc_node_memory_{part}_bytes", memory[part] * MIB, name)
    page.add("pvc_node_vms_running", node["domains_count"], name)


async def _add_vms(page: Page, found: Census, view: MirrorView) -> None:
    statuses: dict[str, NodeStatus] = {}
    for number, one in enumerate(found.vms, 1):
        if one.vm is None:
            page.add("pvc_vm_state", 1, one.name, "", one.state)
            continue
        if one.vm.node not in statuses:
            statuses[one.vm.node] = await view.node_status(one.vm.node)
        page.add("pvc_vm_state", 1, one.name, one.vm.node, one.state)
        _add_vm(page, one.vm, statuses[one.vm.node])
        if number % _TURN == 0:
            await asyncio.sleep(0)


def _add_vm(page: Page, vm: VM, status: NodeStatus) -> None:
    own, (memory, vcpus) = (vm.name, vm.node), size(vm)
    page.add("pvc_vm_running", status.vms.get(vm.uuid, Observed()).power in ALIVE, *own)
    page.add("pvc_vm_vcpus", vcpus, *own)
    page.add("pvc_vm_memory_bytes", memory * MIB, *own)
    _add_use(page, own, status.use.get(vm.uuid, Use()))


def _add_use(page: Page, own: tuple[str, str], use: Use) -> None:
    if use.memory.rss is not None:
        page.add("pvc_vm_memory_rss_bytes", use.memory.rss * 1024, *own)
    if use.cpu.cpu_time is not None:
        page.add("pvc_vm_cpu_seconds_total", use.cpu.cpu_time / 1e9, *own)
    for mac, nic in use.nics.items():
        page.add("pvc_vm_network_receive_bytes_total", nic.rd_bytes, *own, mac)
        page.add("pvc_vm_network_transmit_bytes_total", nic.wr_bytes, *own, mac)
    for dev, disk in use.disks.items():
        page.add("pvc_vm_disk_read_bytes_total", disk.rd_bytes, *own, dev)
        page.add("pvc_vm_disk_written_bytes_total", disk.wr_bytes, *own, dev)
        page.add("pvc_vm_disk_reads_total", disk.rd_req, *own, dev)
        page.add("pvc_vm_disk_writes_total", disk.wr_req, *own, dev)


def _add_storage(page: Page, pools: Mapping[str, Statistics | PVCError], ceph: CephSeen, *, known: bool) -> None:
    """known: there is a Ceph."""
    for name, seen in pools.items():
        page.add("pvc_pool_up", isinstance(seen, Statistics), name)
        if isinstance(seen, Statistics):
            page.add("pvc_pool_bytes", seen.usage.total, name)
            page.add("pvc_pool_used_bytes", seen.usage.used, name)
            page.add("pvc_pool_free_bytes", seen.usage.free, name)
            page.add("pvc_pool_volumes", seen.volumes, name)
    if known:
        page.add("pvc_ceph_up", not ceph.silent)
    for state, count in sorted(ceph.osds.items()):
        page.add("pvc_osds", count, state)


def _add_tasks(page: Page, tasks: Sequence[Task]) -> None:
    for (kind, status), count in sorted(Counter((task.kind, str(task.status)) for task in tasks).items()):
        page.add("pvc_tasks", count, kind, status)
