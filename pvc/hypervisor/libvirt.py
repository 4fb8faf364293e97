"""libvirt from asyncio: blocking calls on worker threads, events hopped over to the event loop.

Events come through libvirt's own default loop on one thread of its own. The asyncio binding that libvirt ships is not
used: the connection calls it from whichever thread makes a call, and asyncio's loop may be touched from its own thread
only (docs/design/005).
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import ParamSpec, TypeVar

import libvirt
from lxml import etree

from pvc.errors import AlreadyExists, HypervisorRefused, HypervisorUnavailable, NotFound, PVCError, Timeout
from pvc.hypervisor import bulk, domxml, machine
from pvc.hypervisor.base import Copy, Event, Facts, Seen, Tuning, data_address, in_the_clear
from pvc.hypervisor.domaintype import choose_domain_type
from pvc.hypervisor.jobs import copy_of
from pvc.model.records import Ending, Power, Use
from pvc.storage.base import Secret

P = ParamSpec("P")
T = TypeVar("T")

# Why each row: a guest that is saved or shutting down still has its disks open.
_POWER = {
    libvirt.VIR_DOMAIN_NOSTATE: Power.UNKNOWN,
    libvirt.VIR_DOMAIN_RUNNING: Power.RUNNING,
    libvirt.VIR_DOMAIN_BLOCKED: Power.RUNNING,
    libvirt.VIR_DOMAIN_PAUSED: Power.PAUSED,
    libvirt.VIR_DOMAIN_SHUTDOWN: Power.RUNNING,
    libvirt.VIR_DOMAIN_SHUTOFF: Power.OFF,
    libvirt.VIR_DOMAIN_CRASHED: Power.CRASHED,
    libvirt.VIR_DOMAIN_PMSUSPENDED: Power.PAUSED,
}
# FAILED is what a killed or dying QEMU gives: the guest did not end by itself.
_ENDING = {
    libvirt.VIR_DOMAIN_EVENT_STOPPED_SHUTDOWN: Ending.POWERED_OFF,
    libvirt.VIR_DOMAIN_EVENT_STOPPED_DESTROYED: Ending.DESTROYED,
    libvirt.VIR_DOMAIN_EVENT_STOPPED_CRASHED: Ending.CRASHED,
    libvirt.VIR_DOMAIN_EVENT_STOPPED_MIGRATED: Ending.MIGRATED,
    libvirt.VIR_DOMAIN_EVENT_STOPPED_FAILED: Ending.CRASHED,
}
_GONE = (libvirt.VIR_ERR_NO_DOMAIN,)
_ENDED = (*_GONE, libvirt.VIR_ERR_OPERATION_INVALID)  # libvirt knows it for a moment longer than it runs
# What comes of these is told a moment later, and whoever looks now takes processor time while the guest stands still.
_ON_ITS_WAY = {
    (libvirt.VIR_DOMAIN_EVENT_STARTED, libvirt.VIR_DOMAIN_EVENT_STARTED_MIGRATED),
    (libvirt.VIR_DOMAIN_EVENT_SUSPENDED, libvirt.VIR_DOMAIN_EVENT_SUSPENDED_MIGRATED),
}
_UNREACHABLE = (
    libvirt.VIR_ERR_NO_CONNECT,
    libvirt.VIR_ERR_INVALID_CONN,
    libvirt.VIR_ERR_RPC,
    libvirt.VIR_ERR_AUTH_FAILED,
    libvirt.VIR_ERR_AUTH_UNAVAILABLE,
)
# Not of disks: to answer that, QEMU 7.2 reads from each image, and the guest stands still as long as Ceph does.
_USE = libvirt.VIR_DOMAIN_STATS_CPU_TOTAL | libvirt.VIR_DOMAIN_STATS_BALLOON | libvirt.VIR_DOMAIN_STATS_INTERFACE
_UNDER_WAY = (libvirt.VIR_DOMAIN_JOB_BOUNDED, libvirt.VIR_DOMAIN_JOB_UNBOUNDED)
_MOVABLE = libvirt.VIR_DOMAIN_XML_MIGRATABLE | libvirt.VIR_DOMAIN_XML_SECURE
# The source's libvirtd leads, so a migration outlives whoever asked for it; a disk's fault ends it, not the guest.
_LIVE = libvirt.VIR_MIGRATE_LIVE | libvirt.VIR_MIGRATE_PEER2PEER | libvirt.VIR_MIGRATE_ABORT_ON_ERROR
_KEEPALIVE_S, _KEEPALIVE_MISSES = 5, 3


@cache
def _start_event_thread() -> threading.Thread:
    """libvirt takes one event loop a process, for good, before the first connection."""
    libvirt.registerErrorHandler(lambda _context, _error: None, None)
    libvirt.virEventRegisterDefaultImpl()

    def run() -> None:
        while True:
            libvirt.virEventRunDefaultImpl()

    thread = threading.Thread(target=run, name="libvirt-events", daemon=True)
    thread.start()
    return thread


class LibvirtHypervisor:
    """One machine's libvirt. The connection is opened when it is first needed, and again after it broke."""

    def __init__(self, uri: str, domain_type: str) -> None:
        self._uri = uri
        self._wanted_type = domain_type
        self._loop = asyncio.get_running_loop()
        self._threads = ThreadPoolExecutor(max_workers=8, thread_name_prefix="libvirt")
        self._connection: libvirt.virConnect | None = None
        self._opening = threading.Lock()
        self._listeners: list[Callable[[Event], None]] = []
        self._removals: dict[tuple[str, str], asyncio.Future[None]] = {}
        self._runs: dict[tuple[str, int], int | None] = {}
        self._capabilities: str | None = None
        self._ended_jobs: dict[str, Copy] = {}

    def subscribe(self, listener: Callable[[Event], None]) -> Callable[[], None]:
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    async def domains(self) -> list[Seen]:
        return await self._call(self._list_domains)

    async def facts(self) -> Facts:
        return await self._call(self._read_facts)

    async def use(self) -> dict[str, Use]:
        return await self._call(self._read_use)

    async def keep_secret(self, secret: Secret) -> None:
        await self._call(self._set_secret, secret)

    async def start(self, xml: str) -> None:
        await self._call(self._create, xml)

    async def shutdown(self, uuid: str) -> None:
        await self._call(lambda: self._domain(uuid).shutdown())

    async def stop(self, uuid: str) -> None:
        await self._call(lambda: self._domain(uuid).destroy())

    async def xml(self, uuid: str) -> str:
        return await self._call(lambda: self._domain(uuid).XMLDesc(0))

    async def attach(self, uuid: str, device_xml: str) -> None:
        flags = libvirt.VIR_DOMAIN_AFFECT_LIVE
        await self._call(lambda: self._domain(uuid).attachDeviceFlags(device_xml, flags))

    async def detach(self, uuid: str, device_xml: str, timeout_s: float) -> None:
        alias = domxml.alias_of(device_xml)
        removed = self._removals[uuid, alias] = self._loop.create_future()
        flags = libvirt.VIR_DOMAIN_AFFECT_LIVE
        try:
            await self._call(lambda: self._domain(uuid).detachDeviceFlags(device_xml, flags))
            async with asyncio.timeout(timeout_s):
                await removed
        except TimeoutError as exc:
            what = f'The release of device "{alias}" by the guest'
            raise Timeout(what=what, timeout_s=timeout_s, outlook="; the VM keeps it") from exc
        finally:
            del self._removals[uuid, alias]

    async def resize_disk(self, uuid: str, dev: str, size: int) -> None:
        flags = libvirt.VIR_DOMAIN_BLOCK_RESIZE_BYTES
        await self._call(lambda: self._domain(uuid).blockResize(dev, size, flags))

    async def movable_xml(self, uuid: str) -> str:
        return await self._call(lambda: self._domain(uuid).XMLDesc(_MOVABLE))

    async def migrate(self, uuid: str, xml: str, uri: str, tuning: Tuning) -> None:
        """On a thread of its own, for which nobody waits when this program ends."""
        self._ended_jobs.pop(uuid, None)
        moved = self._loop.create_future()

        def move() -> None:
            try:
                self._migrate(uuid, xml, uri, tuning)
            except libvirt.libvirtError as exc:
                self._hop(_settle, moved, _unmoved(exc))
            else:
                self._hop(_settle, moved, None)

        threading.Thread(target=move, name=f"migrate-{uuid[:8]}", daemon=True).start()
        await moved

    async def copy(self, uuid: str) -> Copy | None:
        return await self._call(self._running_copy, uuid)

    async def last_copy(self, uuid: str) -> Copy | None:
        """Of a guest that left, libvirt tells it once, as an event: it forgets the guest."""
        return await self._call(self._ended_copy, uuid) or self._ended_jobs.pop(uuid, None)

    async def abort_migration(self, uuid: str) -> None:
        await self._call(self._abort, uuid)

    async def allow_downtime(self, uuid: str, milliseconds: int) -> None:
        await self._call(lambda: self._domain(uuid).migrateSetMaxDowntime(milliseconds))

    async def start_post_copy(self, uuid: str) -> None:
        await self._call(lambda: self._domain(uuid).migrateStartPostCopy())

    async def check_address(self, uri: str) -> None:
        await self._call(lambda: libvirt.open(uri).close())

    async def resume(self, uuid: str) -> None:
        await self._call(lambda: self._domain(uuid).resume())

    async def aclose(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            await self._loop.run_in_executor(self._threads, _close, connection)
        self._threads.shutdown(wait=False)

    async def _call(self, act: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run `act` on a worker thread and say libvirt's refusals in our words."""

        def run() -> T:
            try:
                return act(*args, **kwargs)
            except libvirt.libvirtError as exc:
                raise _translated(exc) from exc

        return await self._loop.run_in_executor(self._threads, run)

    # On worker threads, from here on.

    def _open(self) -> libvirt.virConnect:
        with self._opening:
            if self._connection is None or not self._connection.isAlive():
                _start_event_thread()
                connection = libvirt.open(self._uri)
                self._watch(connection)
                self._connection = connection
                self._runs.clear()
                self._capabilities = None
            return self._connection

    def _watch(self, connection: libvirt.virConnect) -> None:
        connection.setKeepAlive(_KEEPALIVE_S, _KEEPALIVE_MISSES)
        connection.registerCloseCallback(self._on_close, None)
        for event, callback in (
            (libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE, self._on_lifecycle),
            (libvirt.VIR_DOMAIN_EVENT_ID_JOB_COMPLETED, self._on_job_completed),
            (libvirt.VIR_DOMAIN_EVENT_ID_DEVICE_REMOVED, self._on_removed),
            (libvirt.VIR_DOMAIN_EVENT_ID_DEVICE_REMOVAL_FAILED, self._on_removal_failed),
        ):
            connection.domainEventRegisterAny(None, event, callback, None)

    def _domain(self, uuid: str) -> libvirt.virDomain:
        return self._open().lookupByUUIDString(uuid)

    def _create(self, xml: str) -> None:
        connection = self._open()
        uuid = etree.fromstring(xml.encode()).findtext("uuid") or ""
        try:
            connection.lookupByUUIDString(uuid)
        except libvirt.libvirtError as exc:
            if exc.get_error_code() not in _GONE:
                raise
            connection.createXML(xml, 0)
        else:
            raise AlreadyExists(kind="domain", name=uuid)

    def _migrate(self, uuid: str, xml: str, uri: str, tuning: Tuning) -> None:
        domain = self._domain(uuid)
        domain.migrateSetMaxDowntime(tuning.max_downtime_ms)
        flags = _LIVE
        flags |= libvirt.VIR_MIGRATE_AUTO_CONVERGE if tuning.auto_converge else 0
        flags |= libvirt.VIR_MIGRATE_POSTCOPY if tuning.post_copy else 0
        flags |= 0 if in_the_clear(uri) else libvirt.VIR_MIGRATE_TLS
        parameters: dict[str, str | int] = {libvirt.VIR_MIGRATE_PARAM_DEST_XML: xml}
        if address := data_address(uri):
            parameters[libvirt.VIR_MIGRATE_PARAM_URI] = address
        if tuning.bandwidth:
            parameters[libvirt.VIR_MIGRATE_PARAM_BANDWIDTH] = max(tuning.bandwidth >> 20, 1)
        domain.migrateToURI3(uri, parameters, flags)

    def _running_copy(self, uuid: str) -> Copy | None:
        """Of a guest that arrives, libvirt says no more than that it does: by refusing to say more."""
        try:
            stats = self._job_stats(uuid, 0)
        except libvirt.libvirtError as exc:
            if exc.get_error_code() != libvirt.VIR_ERR_OPERATION_UNSUPPORTED:
                raise
            return Copy()
        return copy_of(stats) if stats.get("type", libvirt.VIR_DOMAIN_JOB_NONE) in _UNDER_WAY else None

    def _ended_copy(self, uuid: str) -> Copy | None:
        flags = libvirt.VIR_DOMAIN_JOB_STATS_COMPLETED | libvirt.VIR_DOMAIN_JOB_STATS_KEEP_COMPLETED
        stats = self._job_stats(uuid, flags)
        return copy_of(stats) if "time_elapsed" in stats else None

    def _job_stats(self, uuid: str, flags: int) -> dict[str, int | str]:
        try:
            return dict(self._domain(uuid).jobStats(flags))
        except libvirt.libvirtError as exc:
            if exc.get_error_code() in _ENDED:  # it went since it was looked up
                return {}
            raise

    def _abort(self, uuid: str) -> None:
        try:
            self._domain(uuid).abortJob()
        except libvirt.libvirtError as exc:
            if exc.get_error_code() not in _ENDED:
                raise

    def _set_secret(self, secret: Secret) -> None:
        """Private: libvirt hands it to QEMU alone. Defining it again keeps what is there."""
        self._open().secretDefineXML(domxml.secret(secret)).setValue(secret.value)

    def _list_domains(self) -> list[Seen]:
        flags = libvirt.VIR_CONNECT_GET_ALL_DOMAINS_STATS_ACTIVE | libvirt.VIR_CONNECT_GET_ALL_DOMAINS_STATS_NOWAIT
        stats = self._open().getAllDomainStats(libvirt.VIR_DOMAIN_STATS_STATE, flags)
        seen = (self._seen(domain, int(state.get("state.state", 0))) for domain, state in stats)
        return [one for one in seen if one is not None]

    def _seen(self, domain: libvirt.virDomain, state: int) -> Seen | None:
        uuid = domain.UUIDString()
        key = (uuid, domain.ID())
        if key not in self._runs:
            try:
                element = domain.metadata(libvirt.VIR_DOMAIN_METADATA_ELEMENT, domxml.NAMESPACE)
                self._runs[key] = domxml.run_of(element)
            except libvirt.libvirtError as exc:
                if exc.get_error_code() in _ENDED:
                    return None  # since the list was made
                if exc.get_error_code() != libvirt.VIR_ERR_NO_DOMAIN_METADATA:
                    raise
                self._runs[key] = None
        return Seen(uuid=uuid, name=domain.name(), power=_POWER.get(state, Power.UNKNOWN), run=self._runs[key])

    def _read_use(self) -> dict[str, Use]:
        flags = libvirt.VIR_CONNECT_GET_ALL_DOMAINS_STATS_ACTIVE | libvirt.VIR_CONNECT_GET_ALL_DOMAINS_STATS_NOWAIT
        stats = self._open().getAllDomainStats(_USE, flags)
        return {domain.UUIDString(): bulk.use_of(found, self._read_disks(domain)) for domain, found in stats}

    def _read_disks(self, domain: libvirt.virDomain) -> dict[str, dict[str, int]]:
        """By device name; a disk or guest that went meanwhile is not told."""
        found = {}
        try:
            for name in domxml.disk_names(domain.XMLDesc(0)):
                found[name] = domain.blockStatsFlags(name)
        except libvirt.libvirtError as exc:
            if exc.get_error_code() not in (*_ENDED, libvirt.VIR_ERR_INVALID_ARG):
                raise
        return found

    def _read_facts(self) -> Facts:
        connection = self._open()
        capabilities = self._capabilities_of(connection)
        return machine.facts(
            connection.getHostname(),
            choose_domain_type(self._wanted_type, machine.guest_types(capabilities), Path("/proc/cpuinfo").read_text()),
            connection.getInfo(),
            connection.getMemoryStats(libvirt.VIR_NODE_MEMORY_STATS_ALL_CELLS),
            (connection.getLibVersion(), connection.getVersion()),
            machine.qemu_user(capabilities),
        )

    def _capabilities_of(self, connection: libvirt.virConnect) -> str:
        """Asked once a connection: where /dev/kvm is odd, libvirt probes QEMU anew for each such question."""
        if self._capabilities is None:
            self._capabilities = connection.getCapabilities()
        return self._capabilities

    # On libvirt's event thread.

    def _on_lifecycle(self, _c: object, domain: libvirt.virDomain, event: int, detail: int, _o: object) -> None:
        if (event, detail) in _ON_ITS_WAY:
            return
        ending = _ENDING.get(detail, Ending.CRASHED) if event == libvirt.VIR_DOMAIN_EVENT_STOPPED else None
        self._tell(Event(uuid=domain.UUIDString(), ending=ending))

    def _on_job_completed(self, _c: object, domain: libvirt.virDomain, stats: dict[str, int | str], _o: object) -> None:
        self._hop(self._note_job, domain.UUIDString(), copy_of(stats))

    def _on_removed(self, _c: object, domain: libvirt.virDomain, alias: str, _o: object) -> None:
        self._hop(self._settle_removal, (domain.UUIDString(), alias), None)

    def _on_removal_failed(self, _c: object, domain: libvirt.virDomain, alias: str, _o: object) -> None:
        refusal = HypervisorRefused(reason=f"the guest keeps the device {alias}")
        self._hop(self._settle_removal, (domain.UUIDString(), alias), refusal)

    def _on_close(self, connection: libvirt.virConnect, _reason: int, _o: object) -> None:
        if connection is self._connection:
            self._connection = None
        self._tell(Event(uuid=""))

    def _tell(self, event: Event) -> None:
        self._hop(self._deliver, event)

    def _hop(self, act: Callable[P, object], *args: P.args, **_none: P.kwargs) -> None:
        """To the event loop, unless that has ended."""
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(act, *args)

    # On the event loop again.

    def _deliver(self, event: Event) -> None:
        for listener in self._listeners:
            listener(event)

    def _note_job(self, uuid: str, ended: Copy) -> None:
        self._ended_jobs[uuid] = ended
        self._deliver(Event(uuid=uuid))

    def _settle_removal(self, key: tuple[str, str], refusal: PVCError | None) -> None:
        waiter = self._removals.get(key)
        if waiter is None or waiter.done():
            self._deliver(Event(uuid=key[0]))
        elif refusal is None:
            waiter.set_result(None)
        else:
            waiter.set_exception(refusal)


def _unmoved(exc: libvirt.libvirtError) -> PVCError:
    """Which of two libvirts did not answer, its words do not tell: it is the guest's that refuses."""
    problem = _translated(exc)
    if isinstance(problem, HypervisorUnavailable):
        problem = HypervisorRefused(reason=str(problem.fields["reason"]))
    problem.__cause__ = exc
    return problem


def _settle(future: asyncio.Future[None], problem: PVCError | None) -> None:
    if future.done():
        return  # nobody waits any more
    if problem is None:
        future.set_result(None)
    else:
        future.set_exception(problem)


def _close(connection: libvirt.virConnect) -> None:
    try:
        connection.unregisterCloseCallback()
        connection.close()
    except libvirt.libvirtError as exc:
        if exc.get_error_code() not in _UNREACHABLE:
            raise _translated(exc) from exc


def _translated(exc: libvirt.libvirtError) -> PVCError:
    text = (exc.get_error_message() or str(exc)).strip()
    if exc.get_error_code() in _GONE:
        return NotFound(kind="VM", name=text)
    if exc.get_error_domain() == libvirt.VIR_FROM_RPC or exc.get_error_code() in _UNREACHABLE:
        return HypervisorUnavailable(reason=text)
    return HypervisorRefused(reason=text)
