"""A hypervisor in memory, for speed and for faults that a real one will not give on demand.

It passes the contract suite of the real one (tests/contract/hypervisor). What only a test may do, a guest's own doing
or a fault, are the methods at the end.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from dataclasses import dataclass, field

from lxml import etree

from pvc.errors import AlreadyExists, HypervisorRefused, HypervisorUnavailable, NotFound, Timeout
from pvc.hypervisor import domxml
from pvc.hypervisor.base import Copy, Event, Facts, Seen, Tuning
from pvc.model import domain
from pvc.model.records import CPUUse, DiskUse, Ending, MemoryUse, NicUse, Power, Use
from pvc.storage.base import Secret


@dataclass
class _Guest:
    root: domain.Element
    power: Power = Power.RUNNING
    spent: int = 0
    deaf: bool = False
    clinging: bool = False
    copy: Copy | None = None
    came: Copy | None = None
    released: asyncio.Event = field(default_factory=asyncio.Event)


@dataclass
class _Move:
    """A migration under way. go: it may come to its end."""

    target: FakeHypervisor
    go: asyncio.Event
    aborted: bool = False
    task: asyncio.Task[None] | None = None


class FakeHypervisor:
    """acts: every act asked for, in order. starts: how often each UUID was started. others: by URI.

    stays: why no guest can leave, when one cannot. A migration goes on by itself, as libvirt's does.
    """

    def __init__(self) -> None:
        self._guests: dict[str, _Guest] = {}
        self._listeners: list[Callable[[Event], None]] = []
        self._refusal = ""
        self._away = ""
        self.acts: list[tuple[str, str]] = []
        self.starts: dict[str, int] = {}
        self._fluent = asyncio.Event()
        self._fluent.set()
        self._awake = asyncio.Event()
        self._awake.set()
        self._plugged = 0
        self.secrets: dict[str, bytes] = {}
        self.others: dict[str, FakeHypervisor] = {}
        self.stays = ""
        self.downtimes: list[int] = []
        self._moves: dict[str, _Move] = {}
        self._went: dict[str, Copy] = {}
        self._holds = False
        self._deaf_to_aborts: list[str] = []
        self._next_refusal = ""

    def subscribe(self, listener: Callable[[Event], None]) -> Callable[[], None]:
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    async def domains(self) -> list[Seen]:
        await self._answer()
        return [self._seen(uuid, guest) for uuid, guest in self._guests.items()]

    async def facts(self) -> Facts:
        await self._answer()
        await self._awake.wait()
        return Facts(
            hostname="fake",
            domain_type="qemu",
            arch="x86_64",
            os="Fake 1",
            kernel="6.1",
            cpu_count=4,
            memory_total=8 << 30,
            memory_free=4 << 30,
            load=0.5,
            libvirt_version="9.0.0",
            qemu_version="7.2.0",
            reason="It is a fake.",
        )

    async def use(self) -> dict[str, Use]:
        await self._answer()
        await self._fluent.wait()
        return {uuid: self._use(guest) for uuid, guest in self._guests.items()}

    async def keep_secret(self, secret: Secret) -> None:
        await self._answer()
        self.secrets[secret.uuid] = secret.value

    async def start(self, xml: str) -> None:
        root = domain.parse(xml)
        uuid = root.findtext("uuid") or ""
        await self._answer(("start", uuid))
        if uuid in self._guests:
            raise AlreadyExists(kind="domain", name=uuid)
        for number, node in enumerate(root.iterfind("devices/*")):
            _give_alias(node, f"device{number}")
            self._plug(node)
        self._guests[uuid] = _Guest(root)
        self.starts[uuid] = self.starts.get(uuid, 0) + 1
        self._tell(Event(uuid=uuid))

    async def shutdown(self, uuid: str) -> None:
        await self._answer(("shutdown", uuid))
        if not self._guest(uuid).deaf:
            self._end(uuid, Ending.POWERED_OFF)

    async def stop(self, uuid: str) -> None:
        await self._answer(("stop", uuid))
        self._guest(uuid)
        self._end(uuid, Ending.DESTROYED)

    async def xml(self, uuid: str) -> str:
        await self._answer()
        return etree.tostring(self._guest(uuid).root, encoding="unicode")

    async def attach(self, uuid: str, device_xml: str) -> None:
        await self._answer(("attach", uuid))
        guest, device = self._guest(uuid), domain.parse_device(device_xml)
        if domain.find_device(guest.root, device) is not None:
            raise HypervisorRefused(reason="the device is there already")
        devices = guest.root.find("devices")
        if devices is None:
            devices = etree.SubElement(guest.root, "devices")
        _give_alias(device, f"device{len(devices)}x{len(self.acts)}")
        self._plug(device)
        devices.append(device)

    async def detach(self, uuid: str, device_xml: str, timeout_s: float) -> None:
        alias = domxml.alias_of(device_xml)
        await self._answer(("detach", uuid))
        guest = self._guest(uuid)
        try:
            async with asyncio.timeout(timeout_s):
                while guest.clinging:
                    await guest.released.wait()
        except TimeoutError as exc:
            what = f'The release of device "{alias}" by the guest'
            raise Timeout(what=what, timeout_s=timeout_s, outlook="; the VM keeps it") from exc
        node = domain.find_device(guest.root, domain.parse_device(device_xml))
        if node is None:
            raise HypervisorRefused(reason=f"no device {alias}")
        parent = node.getparent()
        if parent is not None:
            parent.remove(node)

    async def resize_disk(self, uuid: str, dev: str, size: int) -> None:
        await self._answer(("resize", uuid))
        disks = self._guest(uuid).root.iterfind("devices/disk")
        path = next((domain.disk(node).source for node in disks if domain.disk(node).dev == dev), "")
        if not path:
            raise HypervisorRefused(reason=f"no disk {dev}")
        await asyncio.to_thread(os.truncate, path, size)

    async def movable_xml(self, uuid: str) -> str:
        return await self.xml(uuid)

    async def migrate(self, uuid: str, xml: str, uri: str, tuning: Tuning) -> None:
        await self._answer(("migrate", uuid))
        guest = self._guest(uuid)
        if self._next_refusal:
            refusal, self._next_refusal = self._next_refusal, ""
            raise HypervisorRefused(reason=refusal)
        if self.stays or uri not in self.others:
            raise HypervisorRefused(reason=self.stays or f"unable to connect to {uri}")
        if uuid in self._moves:
            raise HypervisorRefused(reason="another job runs")
        target = self.others[uri]
        if uuid in target._guests:
            raise HypervisorRefused(reason="the domain is there already")
        copy = Copy(total=1 << 20, left=1 << 20, rate=1 << 20)
        target._guests[uuid] = _Guest(domain.parse(xml), Power.PAUSED, guest.spent, copy=copy)
        guest.copy = copy
        move = self._moves[uuid] = _Move(target, asyncio.Event())
        if not self._holds:
            move.go.set()
        move.task = asyncio.create_task(self._move(uuid, move))
        move.task.add_done_callback(lambda done: done.exception())  # who asked may no longer wait
        target._tell(Event(uuid=uuid))
        await asyncio.shield(move.task)

    async def _move(self, uuid: str, move: _Move) -> None:
        try:
            await move.go.wait()
            await asyncio.sleep(0)
            if move.aborted or uuid not in self._guests or uuid not in move.target._guests:
                move.target._lose(uuid)
                raise HypervisorRefused(reason="the migration was aborted" if move.aborted else "QEMU ended")
            self._pass_on(uuid, move.target)
        finally:
            del self._moves[uuid]
            if uuid in self._guests:
                self._guests[uuid].copy = None
                self._tell(Event(uuid=uuid))

    def _pass_on(self, uuid: str, target: FakeHypervisor) -> None:
        ended = Copy(total=1 << 20, processed=1 << 20, elapsed_ms=1000, downtime_ms=40)
        guest, there = self._guests.pop(uuid), target._guests[uuid]
        there.power, there.copy, there.came = guest.power, None, ended
        self._went[uuid] = ended
        self._tell(Event(uuid=uuid, ending=Ending.MIGRATED))
        target._tell(Event(uuid=uuid))

    def _lose(self, uuid: str) -> None:
        """What half arrived goes again."""
        if self._guests.pop(uuid, None) is not None:
            self._tell(Event(uuid=uuid, ending=Ending.CRASHED))

    async def copy(self, uuid: str) -> Copy | None:
        await self._answer()
        return self._guests[uuid].copy if uuid in self._guests else None

    async def last_copy(self, uuid: str) -> Copy | None:
        await self._answer()
        return self._guests[uuid].came if uuid in self._guests else self._went.pop(uuid, None)

    async def abort_migration(self, uuid: str) -> None:
        await self._answer(("abort", uuid))
        if self._deaf_to_aborts:
            if refusal := self._deaf_to_aborts.pop(0):
                raise HypervisorRefused(reason=refusal)
            return
        if uuid in self._moves:
            self._moves[uuid].aborted = True
            self._moves[uuid].go.set()

    async def allow_downtime(self, uuid: str, milliseconds: int) -> None:
        await self._answer(("allow downtime", uuid))
        self._guest(uuid)
        self.downtimes.append(milliseconds)

    async def start_post_copy(self, uuid: str) -> None:
        await self._answer(("post-copy", uuid))
        self._guest(uuid)
        self._moves[uuid].go.set()

    async def check_address(self, uri: str) -> None:
        await self._answer()
        if uri not in self.others:
            raise HypervisorUnavailable(reason=f"unable to connect to {uri}")

    async def resume(self, uuid: str) -> None:
        await self._answer(("resume", uuid))
        self._guest(uuid).power = Power.RUNNING
        self._tell(Event(uuid=uuid))

    async def aclose(self) -> None:
        """There is no connection to close."""

    # What a test does.

    def power_off(self, uuid: str) -> None:
        """The guest ends by itself."""
        self._end(uuid, Ending.POWERED_OFF)

    def crash(self, uuid: str) -> None:
        self._end(uuid, Ending.CRASHED)

    def vanish(self, uuid: str) -> None:
        """The guest ends and nobody is told."""
        del self._guests[uuid]

    def make_deaf(self, uuid: str) -> None:
        """The guest ignores the power button."""
        self._guest(uuid).deaf = True

    def make_clinging(self, uuid: str) -> None:
        """The guest does not let go of devices."""
        self._guest(uuid).clinging = True

    def pause(self, uuid: str) -> None:
        self._guest(uuid).power = Power.PAUSED

    def refuse_starts(self, reason: str) -> None:
        """reason: "" to take them again."""
        self._refusal = reason

    def go_away(self, reason: str) -> None:
        """reason: "" to be back."""
        self._away = reason
        self._tell(Event(uuid=""))

    def hold_moves(self) -> None:
        """Migrations begin and do not come to their end."""
        self._holds = True

    def lose_aborts(self, *refusals: str) -> None:
        """One abort for each is not heard, and refused with these words where it has any."""
        self._deaf_to_aborts.extend(refusals)

    def refuse_next_move(self, reason: str) -> None:
        """One migration fails before anything is copied."""
        self._next_refusal = reason

    def release_moves(self) -> None:
        self._holds = False
        for move in self._moves.values():
            move.go.set()

    def spend(self, uuid: str, amount: int) -> None:
        """The guest has used `amount` of everything."""
        self._guest(uuid).spent = amount

    def stammer(self) -> None:
        """Statistics do not come any more: the QEMU of some guest hangs."""
        self._fluent.clear()

    def speak(self) -> None:
        """Statistics come again."""
        self._fluent.set()

    def sleep(self) -> None:
        """Facts do not come any more: the whole of libvirt hangs."""
        self._awake.clear()

    def awake(self) -> None:
        """Facts come again."""
        self._awake.set()

    def devices(self, uuid: str) -> list[str]:
        """Disk targets and MACs that the guest has."""
        root = self._guest(uuid).root
        return [disk.dev for disk in domain.disks(root)] + [nic.mac for nic in domain.nics(root)]

    def _guest(self, uuid: str) -> _Guest:
        if uuid not in self._guests:
            raise NotFound(kind="VM", name=uuid)
        return self._guests[uuid]

    def _seen(self, uuid: str, guest: _Guest) -> Seen:
        element = guest.root.find(f"metadata/{{{domxml.NAMESPACE}}}run")
        run = None if element is None else domxml.run_of(etree.tostring(element, encoding="unicode"))
        return Seen(uuid=uuid, name=guest.root.findtext("name") or "", power=guest.power, run=run)

    def _plug(self, node: domain.Element) -> None:
        """As libvirt does: a NIC gets a name on the host, a screen its port."""
        self._plugged += 1
        if node.tag == "interface" and node.find("target") is None:
            etree.SubElement(node, "target", dev=f"vnet{self._plugged}")
        if node.tag == "graphics" and node.get("port") == "-1":
            node.set("port", str(5900 + self._plugged))

    def _use(self, guest: _Guest) -> Use:
        spent = guest.spent
        nics = [node.find("target") for node in guest.root.iterfind("devices/interface")]
        return Use(
            memory=MemoryUse(actual=65536, rss=spent),
            cpu=CPUUse(cpu_time=spent, user_time=spent, system_time=spent),
            nics={nic.get("dev", ""): NicUse(rd_bytes=spent, wr_bytes=spent) for nic in nics if nic is not None},
            disks={disk.dev: DiskUse(rd_bytes=spent, wr_bytes=spent) for disk in domain.disks(guest.root)},
        )

    def _end(self, uuid: str, ending: Ending) -> None:
        del self._guests[uuid]
        self._tell(Event(uuid=uuid, ending=ending))

    def _tell(self, event: Event) -> None:
        for listener in self._listeners:
            asyncio.get_running_loop().call_soon(listener, event)

    async def _answer(self, act: tuple[str, str] | None = None) -> None:
        await asyncio.sleep(0)
        if self._away:
            raise HypervisorUnavailable(reason=self._away)
        if act is not None:
            self.acts.append(act)
            if act[0] == "start" and self._refusal:
                raise HypervisorRefused(reason=self._refusal)


def _give_alias(node: domain.Element, name: str) -> None:
    if node.find("alias") is None:
        etree.SubElement(node, "alias", name=name)
