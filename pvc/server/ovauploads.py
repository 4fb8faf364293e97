"""OVAs as they stream in: each disk straight into a volume of its own; all of them, or none."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack

import msgspec
from aiohttp import web
from msgspec.structs import replace

from pvc.cluster import leftovers, ovas, tasks, volumes
from pvc.cluster.state import State
from pvc.config import Upload as Limits
from pvc.errors import AlreadyExists, InvalidImage
from pvc.images.digest import Hashes, Summing
from pvc.images.incoming import Incoming
from pvc.images.ova import Unpacked, unpack
from pvc.images.ovf import Descriptor
from pvc.images.receive import receive
from pvc.model import appliance, names
from pvc.model.records import OVA, OVADisk, OVANic
from pvc.server.bodies import body
from pvc.server.endpoints import Endpoints
from pvc.server.parse import need_name
from pvc.server.parts import CONFIG, POOLS, message, who
from pvc.server.rules import OVAName, Size
from pvc.server.session import state_of
from pvc.server.uploads import Checksum, admitted, checksum_in, reason_of
from pvc.storage.base import Pool
from pvc.units import parse_size

endpoints = Endpoints()


class UploadByName(msgspec.Struct, kw_only=True):
    """ova_size: bytes of the file; it must have them then. checksum: as of an image."""

    pool: str
    ova_size: Size | None = None
    checksum: Checksum | None = None


class Upload(UploadByName, kw_only=True):
    name: OVAName


@endpoints.post("/provisioner/ova", "Upload an OVA.", Upload, image=True)
async def upload(request: web.Request, given: Upload) -> web.Response:
    return await _upload(request, given.name, given)


@endpoints.post("/provisioner/ova/{ova}", "Upload an OVA.", UploadByName, image=True)
async def upload_by_path(request: web.Request, given: UploadByName) -> web.Response:
    return await _upload(request, need_name("OVA", request.match_info["ova"]), given)


async def _upload(request: web.Request, name: str, given: UploadByName) -> web.Response:
    """Everything that can be refused is refused before the first byte is read."""
    checksum = checksum_in(given.checksum)
    size = None if given.ova_size is None else parse_size(given.ova_size)
    state, config = state_of(request), request.app[CONFIG]
    pool = await volumes.pool_of(request.app[POOLS], given.pool)
    task = tasks.new(state, leftovers.UPLOAD, ("ova", name), name, who=who(request), node=config.agent.node_name)
    with admitted(request.app, task):
        async with ovas.reserved(state, name, leftovers.holder(task)):
            await ovas.check_free(state, name)
            async with tasks.recorded(state, task, reason_of) as running:
                chunks, length = body(request)
                making = Making(state, request.app[POOLS], pool.name, running, config.upload)
                ova, sha256 = await making.run(chunks, length if size is None else size, checksum)
                running.result = f"Received {ova.size} bytes{sha256 and ', SHA-256 '}{sha256}."
    return message(
        f'Uploaded OVA "{name}" with {_counted(len(ova.disks))} into pool "{pool.name}"; {_checked(ova)}.',
        bytes=ova.size,
        task=task.id,
        **({"sha256": sha256} if sha256 else {}),
    )


def _counted(disks: int) -> str:
    return "1 disk" if disks == 1 else f"{disks} disks"


def _checked(ova: OVA) -> str:
    manifest = "every file is as its manifest says" if ova.manifest else "it has no manifest"
    return manifest + (", and its certificate was not looked at" if ova.certificate else "")


class Making:
    """One OVA on its way into the pool."""

    def __init__(
        self, state: State, pools: Mapping[str, Pool], pool: str, running: tasks.Running, limits: Limits
    ) -> None:
        self._state, self._pools, self._pool = state, pools, pool
        self._running, self._limits = running, limits
        self._undo = AsyncExitStack()
        self._made = set[str]()
        self._received = 0

    async def run(self, chunks: AsyncIterator[bytes], length: int | None, checksum: str | None) -> tuple[OVA, str]:
        """Return what is registered then, and the SHA-256 of the upload, "" where nobody asked for it.

        checksum: as images.receive takes it.
        """
        summing = Summing(Hashes(["sha256"]))
        self._total = length or 0
        async with self._undo:
            upload = Incoming(length, self._limits, self._count).passing(chunks)
            unpacked = await unpack(upload if checksum is None else summing.passing(upload), self)
            sha256 = "" if checksum is None else (await summing.result())["sha256"]
            if checksum and sha256 != checksum:
                raise InvalidImage(problem=f"the upload has the SHA-256 {sha256}, which is not the one announced")
            ova = self._whole(unpacked)
            await ovas.finish(self._state, ova)
        return ova, sha256

    async def begin(self, descriptor: Descriptor) -> None:
        self._descriptor = descriptor
        self._ova = _planned(self._running.task.name, self._pool, descriptor)
        holder = leftovers.holder(self._running.task)
        self._made = await self._undo.enter_async_context(ovas.begun(self._state, self._pools, self._ova, holder))
        for disk in self._ova.disks:
            if not disk.file:
                await self._create(disk)

    async def put(self, place: int, size: int, chunks: AsyncIterator[bytes]) -> None:
        disk = self._ova.disks[place]
        pool, volume = await self._create(disk)
        await receive(
            chunks,
            declared=disk.format,
            pool=pool,
            volume=volume,
            length=size,
            limits=self._limits,
            report=self._report,
        )

    async def _create(self, disk: OVADisk) -> tuple[Pool, str]:
        pool_name, volume = names.split_volume(disk.volume)
        pool = await volumes.pool_of(self._pools, pool_name)
        self._made.add(disk.volume)  # before: who is cancelled does not know whether it was made
        try:
            await pool.create(volume, disk.size)
        except AlreadyExists:
            self._made.discard(disk.volume)
            raise
        return pool, volume

    def _count(self, received: int) -> None:
        self._received = received
        self._running.report("receiving", received, self._total)

    def _report(self, phase: str, done: int, total: int) -> None:
        """What is received is told of the upload as a whole, by _count."""
        if phase != "receiving":
            self._running.report(phase, done, total)

    def _whole(self, unpacked: Unpacked) -> OVA:
        return replace(
            self._ova,
            whole=True,
            size=self._received,
            manifest=unpacked.manifest,
            certificate=unpacked.certificate,
            passed_over=unpacked.passed_over,
            created_by=self._running.task.who,
            created_at=self._state.now(),
        )


def _planned(name: str, pool: str, descriptor: Descriptor) -> OVA:
    devices = [appliance.device(place) for place in range(len(descriptor.disks))]
    disks = tuple(
        OVADisk(
            dev=dev,
            volume=appliance.volume_of_ova(pool, name, dev),
            size=disk.size,
            file=disk.file,
            format=disk.format,
        )
        for dev, disk in zip(devices, descriptor.disks, strict=True)
    )
    return OVA(
        name=name,
        title=descriptor.title,
        vcpus=descriptor.vcpus,
        memory=descriptor.memory,
        efi=descriptor.efi,
        disks=disks,
        nics=tuple(OVANic(network=nic.network, model=nic.model) for nic in descriptor.nics),
    )
