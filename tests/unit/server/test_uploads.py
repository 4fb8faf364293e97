"""Images through the server: taken whole or not at all."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import io
import json
import socket
import struct
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest

from pvc.model.records import TaskStatus
from pvc.server import uploads
from pvc.units import MIB
from tests.parts import documents
from tests.parts.sparse import framed
from tests.unit.server.site import BASE, Answer, Site, lively

SIZE = 4 * MIB
OLD, NEW = b"o" * SIZE, bytes(range(256)) * (SIZE // 256)
PACKED = gzip.compress(NEW, mtime=0)
PATH = "/storage/ceph/volume/local/disk0/upload"


@pytest.fixture
async def site(bare: Site) -> Site:
    """One volume with old content."""
    await bare.pool.create("disk0", SIZE)
    bare.fill("disk0", OLD)
    return bare


def multipart(content: bytes, *, name: str = "file", end: bytes = b"\r\n--x--\r\n") -> tuple[bytes, str]:
    head = f'--x\r\nContent-Disposition: form-data; name="{name}"; filename="a.img"\r\n\r\n'.encode()
    return head + content + end, "multipart/form-data; boundary=x"


def qcow2(
    *, version: int = 3, backing: int = 0, features: int = 0, bits: int = 16, size: int = SIZE, l1: int = 1
) -> bytes:
    head = struct.pack(">4sIQIIQIIQQIIQ", b"QFI\xfb", version, backing, 0, bits, size, 0, l1, 0x30000, 0x10000, 1, 0, 0)
    return (head + struct.pack(">QQQII", features, 0, 0, 4, 104)).ljust(256 * 1024, b"\0")


async def upload(
    site: Site, body: bytes, kind: str = "application/octet-stream", image_format: str = "raw", **more: str
) -> Answer:
    headers, params = {"Content-Type": kind}, {"image_format": image_format} | more
    return await site.ask("POST", PATH, params, data=io.BytesIO(body), headers=headers)


async def assert_nothing_came_of_it(site: Site, *statuses: TaskStatus) -> None:
    assert site.content("disk0") == OLD
    assert site.hidden() == []
    assert [task.status for task in await site.tasks()] == list(statuses)
    async with site.state.store.lock("volume.local.disk0", "a test"):
        pass


async def test_a_raw_body_becomes_the_volume(site: Site) -> None:
    answer = await upload(site, NEW)
    assert answer.status == 200
    assert answer.message == 'Wrote uploaded file to volume "disk0" in pool "local".'
    assert (answer.body["bytes"], answer.body["virtual_size"]) == (SIZE, SIZE)
    assert site.content("disk0") == NEW
    assert site.hidden() == []
    [task] = await site.tasks()
    assert (task.status, task.id) == (TaskStatus.DONE, answer.body["task"])
    assert task.result == f"Received {SIZE} bytes."
    assert "sha256" not in answer.body


SUM = hashlib.sha256(NEW).hexdigest()


@pytest.mark.parametrize("asked", ["sha256", f"sha256:{SUM}", f"SHA256:{SUM.upper()}"])
async def test_a_checksum_is_told_to_who_asks_for_it(site: Site, asked: str) -> None:
    answer = await upload(site, NEW, checksum=asked)
    assert (answer.status, answer.body["sha256"]) == (200, SUM)
    [task] = await site.tasks()
    assert task.result == f"Received {SIZE} bytes, SHA-256 {SUM}."


async def test_an_image_that_is_not_the_one_announced_changes_nothing(site: Site) -> None:
    answer = await upload(site, NEW, checksum=f"sha256:{'0' * 64}")
    assert (answer.status, answer.code) == (400, "invalid_image")
    assert f"has the SHA-256 {SUM}" in answer.message
    await assert_nothing_came_of_it(site, TaskStatus.FAILED)


async def test_the_part_called_file_becomes_the_volume(site: Site) -> None:
    body, kind = multipart(NEW)
    assert (await upload(site, body, kind)).status == 200
    assert site.content("disk0") == NEW


async def test_a_body_of_unknown_length_becomes_the_volume(site: Site) -> None:
    async def pieces():  # type: ignore[no-untyped-def]
        for start in range(0, SIZE, MIB):
            yield NEW[start : start + MIB]

    answer = await site.ask("POST", PATH, {"image_format": "raw"}, data=pieces())  # type: ignore[no-untyped-call]
    assert answer.status == 200
    assert site.content("disk0") == NEW


async def test_a_packed_image_is_unpacked_and_verified(site: Site) -> None:
    answer = await upload(site, PACKED, verify="true", checksum="sha256")
    assert (answer.status, answer.body["verified"]) == (200, True)
    assert answer.body["sha256"] == hashlib.sha256(PACKED).hexdigest()
    assert answer.body["virtual_size"] == SIZE
    assert site.content("disk0") == NEW


async def test_a_smaller_image_is_followed_by_zeroes(site: Site) -> None:
    assert (await upload(site, b"n" * 5000)).status == 200
    assert site.content("disk0") == (b"n" * 5000).ljust(SIZE, b"\0")


@pytest.mark.parametrize(
    ("body", "image_format", "status", "code", "words"),
    [
        (b"", "raw", 400, "invalid_image", "the upload is empty"),
        (b"", "qcow2", 400, "invalid_image", "the upload is empty"),
        (NEW + b"x", "raw", 400, "image_too_large", 'does not fit the volume "local/disk0" of 4M'),
        (NEW, "floppy", 400, "invalid_input", 'Argument "image_format" must be "raw", "qcow2", "qed",'),
        (NEW, "", 400, "invalid_input", 'Argument "image_format" must be'),
        (NEW, "ova", 400, "invalid_image", 'format "ova" is not accepted'),
        (NEW, "vmdk", 400, "invalid_image", 'it was declared "vmdk", but does not begin like one'),
        (NEW, "qcow2", 400, "invalid_image", 'it was declared "qcow2", but does not begin like one'),
        (b"QFI\xfb", "qcow2", 400, "invalid_image", "it ends within its qcow2 header"),
        (qcow2(backing=0x200), "qcow2", 400, "invalid_image", "it has a backing file"),
        (qcow2(features=4), "qcow2", 400, "invalid_image", "it keeps its data in another file"),
        (qcow2(features=2), "qcow2", 400, "invalid_image", "it is marked as corrupt"),
        (qcow2(features=1 << 40), "qcow2", 400, "invalid_image", "it needs qcow2 features that are unknown"),
        (qcow2(version=9), "qcow2", 400, "invalid_image", "qcow2 version 9 is unknown"),
        (qcow2(bits=63), "qcow2", 400, "invalid_image", "asks for clusters of 2^63 bytes"),
        (qcow2(l1=1 << 31), "qcow2", 400, "invalid_image", "an L1 table of 2147483648 entries does not fit"),
        (qcow2(size=0), "qcow2", 400, "invalid_image", "its virtual size is zero"),
        (qcow2(size=SIZE + 512), "qcow2", 400, "image_too_large", "does not fit the volume"),
        (qcow2(size=1 << 62), "qcow2", 400, "", ""),
    ],
)
async def test_an_image_that_cannot_be_is_refused(
    site: Site, body: bytes, image_format: str, status: int, code: str, words: str
) -> None:
    for sent, kind in ((body, "application/octet-stream"), multipart(body)):
        answer = await upload(site, sent, kind, image_format)
        assert (answer.status, answer.code) == (status, code or answer.code), answer.body
        assert words in answer.message
        assert answer.message.endswith(".")
        assert site.content("disk0") == OLD
        assert site.hidden() == []
    assert {task.status for task in await site.tasks()} == {TaskStatus.FAILED}
    assert {task.problem["message"] for task in await site.tasks()} >= {answer.message}


@pytest.mark.parametrize(
    ("body", "kind", "words"),
    [
        (b"", "multipart/form-data; boundary=x", ""),
        (b"no part at all", "multipart/form-data; boundary=x", ""),
        (b"--x--\r\n", "multipart/form-data; boundary=x", 'Argument "file" is missing.'),
        (b"--x\r\n\r\nabc\r\n--x--\r\n", "multipart/form-data; boundary=x", 'Argument "file" is missing.'),
        (*multipart(NEW, name="other"), 'Argument "file" is missing.'),
        (NEW, "multipart/form-data", "malformed"),
        (*multipart(NEW, end=b""), "malformed or ends too early"),
        (b"--x\r\nContent-Disposition form-data\r\n\r\nab\r\n--x--\r\n", "multipart/form-data; boundary=x", ""),
        (b"--x\r\n" + b"A: " + b"a" * 100_000 + b"\r\n\r\nab\r\n--x--\r\n", "multipart/form-data; boundary=x", ""),
        (b"--x\r\nContent-Type: multipart/mixed\r\n\r\nab\r\n--x--\r\n", "multipart/form-data; boundary=x", ""),
        (b"a", "multipart/form-data; boundary=" + "x" * 200, ""),
    ],
)
async def test_a_malformed_multipart_body_is_refused(site: Site, body: bytes, kind: str, words: str) -> None:
    answer = await upload(site, body, kind)
    assert answer.status == 400, answer.body
    assert words in answer.message
    assert answer.message.endswith(".")
    await assert_nothing_came_of_it(site, TaskStatus.FAILED)


@dataclass
class Client:
    """Speaks HTTP byte by byte."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def answer(self) -> tuple[int, dict[str, str]]:
        async with asyncio.timeout(10):
            head = (await self.reader.readuntil(b"\r\n\r\n")).decode()
            length = next(line for line in head.split("\r\n") if line.lower().startswith("content-length"))
            return int(head.split()[1]), json.loads(await self.reader.readexactly(int(length.partition(":")[2])))


async def begin(site: Site, *headers: str, volume: str = "disk0", image_format: str = "raw") -> Client:
    client = Client(*await asyncio.open_unix_connection(site.socket))
    path = f"{BASE}/storage/ceph/volume/local/{volume}/upload?image_format={image_format}"
    lines = [f"POST {path} HTTP/1.1", "Host: pvc", *headers, "", ""]
    client.writer.write("\r\n".join(lines).encode())
    return client


async def ended(site: Site) -> TaskStatus:
    """The one task's status, once it has one."""
    async with asyncio.timeout(10), site.state.store.watch(children=[site.state.paths.tasks]) as listing:
        while not (found := await site.tasks()):
            await listing.wait()
    async with asyncio.timeout(10), site.state.store.watch(site.state.paths.task(found[0].id)) as watch:
        while (task := (await site.tasks())[0]).status is TaskStatus.RUNNING:
            await watch.wait()
    return task.status


async def released(site: Site) -> None:
    """Return when nobody holds the volume: the handler has ended."""
    async with asyncio.timeout(10):
        while site.hidden() or len(site.app[uploads.UNDER_WAY]):
            await asyncio.sleep(0)


@pytest.mark.parametrize("how", ["reset", "close", "half"])
@pytest.mark.parametrize("position", [0, 1, 65_536, SIZE // 2, SIZE - 1])
async def test_a_client_that_vanishes_changes_nothing(site: Site, position: int, how: str) -> None:
    client = await begin(site, f"Content-Length: {SIZE}")
    client.writer.write(NEW[:position])
    await client.writer.drain()
    if how == "half":
        client.writer.write_eof()
    elif how == "close":
        client.writer.close()
    else:
        linger = struct.pack("ii", 1, 0)
        client.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        client.writer.transport.abort()
    assert await ended(site) is TaskStatus.FAILED
    await released(site)
    await assert_nothing_came_of_it(site, TaskStatus.FAILED)
    [task] = await site.tasks()
    assert task.problem == {"code": "invalid_image", "message": task.problem["message"]}
    client.writer.close()


@pytest.mark.parametrize("position", [0, 10, 70, 90, 200_000])
async def test_a_client_that_vanishes_within_a_multipart_body_changes_nothing(site: Site, position: int) -> None:
    body, kind = multipart(NEW)
    client = await begin(site, f"Content-Length: {len(body)}", f"Content-Type: {kind}")
    client.writer.write(body[:position])
    await client.writer.drain()
    client.writer.close()
    assert await ended(site) is TaskStatus.FAILED
    await released(site)
    await assert_nothing_came_of_it(site, TaskStatus.FAILED)


@pytest.mark.parametrize("rest", [b"", b"5\r\nab", b"zz\r\nab\r\n", b"-1\r\n", b"FFFFFFFFFFFFFFFFFF\r\nab"])
async def test_a_chunked_body_that_breaks_off_or_lies_changes_nothing(site: Site, rest: bytes) -> None:
    client = await begin(site, "Transfer-Encoding: chunked")
    client.writer.write(b"4\r\nabcd\r\n")
    await receiving(site)
    client.writer.write(rest)
    client.writer.write_eof()
    assert await ended(site) is TaskStatus.FAILED
    await released(site)
    await assert_nothing_came_of_it(site, TaskStatus.FAILED)
    client.writer.close()


async def test_a_second_upload_at_the_same_time_is_refused_naming_the_first(site: Site) -> None:
    client = await begin(site, f"Content-Length: {SIZE}")
    client.writer.write(NEW[:1000])
    await receiving(site)
    [first] = await site.tasks()
    answer = await upload(site, NEW)
    assert (answer.status, answer.code) == (409, "busy")
    assert answer.message == f'Volume "local/disk0" is busy with upload "{first.id}".'
    for method, path in (
        ("PUT", "?new_size=8M"),
        ("PUT", "?new_name=x"),
        ("DELETE", ""),
        ("POST", "/clone?new_volume=x"),
    ):
        answer = await site.ask(method, f"/storage/ceph/volume/local/disk0{path}")
        assert (answer.status, answer.code) == (409, "busy"), answer.body
    client.writer.write(NEW[1000:])
    status, told = await client.answer()
    assert (status, told["task"]) == (200, first.id)
    assert site.content("disk0") == NEW
    client.writer.close()


async def receiving(site: Site) -> None:
    """Return when an upload has reported its first bytes."""
    async with asyncio.timeout(10), site.state.store.watch(children=[site.state.paths.tasks]) as listing:
        while not (found := await site.tasks()):
            await listing.wait()
    async with asyncio.timeout(10), site.state.store.watch(site.state.paths.task(found[-1].id)) as watch:
        while (await site.tasks())[-1].phase != "receiving":
            await watch.wait()


async def test_only_so_many_uploads_go_on_at_once(site: Site) -> None:
    clients = []
    for name in ("a", "b"):
        await site.pool.create(name, SIZE)
        clients.append(await begin(site, f"Content-Length: {SIZE}", volume=name))
        clients[-1].writer.write(b"n")
        await receiving(site)
    answer = await upload(site, NEW)
    assert (answer.status, answer.code) == (409, "busy")
    assert answer.message == 'Server "hv1" is busy with 2 uploads, the most it takes.'
    for client in clients:
        client.writer.close()


async def test_the_volume_of_a_vm_that_should_run_takes_no_upload(site: Site) -> None:
    async with lively(site):
        await site.define("web1", documents.disk("local/disk0"))
        started = await site.ask("POST", "/vm/web1/state", {"state": "start", "wait": "1"})
        assert started.status == 200
        answer = await upload(site, NEW)
    assert (answer.status, answer.code) == (409, "in_use")
    assert answer.message == 'Volume "local/disk0" is in use by VM "web1".'
    await assert_nothing_came_of_it(site)


async def test_an_upload_over_the_limit_is_refused_before_a_byte_is_read(site: Site) -> None:
    client = await begin(site, f"Content-Length: {64 * MIB + 1}")
    status, told = await client.answer()
    assert (status, told["code"]) == (413, "too_large")
    assert told["message"] == f"The upload has {64 * MIB + 1} bytes, the limit is {64 * MIB}."
    await assert_nothing_came_of_it(site, TaskStatus.FAILED)
    client.writer.close()


async def test_an_absent_volume_is_refused_before_a_byte_is_read(site: Site) -> None:
    client = await begin(site, f"Content-Length: {SIZE}", volume="absent")
    status, told = await client.answer()
    assert (status, told["message"]) == (404, 'No volume "local/absent".')
    await assert_nothing_came_of_it(site)
    client.writer.close()


async def test_an_image_that_is_refused_by_its_head_is_refused_before_its_end_is_sent(site: Site) -> None:
    client = await begin(site, f"Content-Length: {SIZE}", image_format="qcow2")
    client.writer.write(qcow2(backing=7)[:70_000])
    status, told = await client.answer()
    assert (status, told["code"]) == (400, "invalid_image")
    await assert_nothing_came_of_it(site, TaskStatus.FAILED)
    client.writer.close()


SPARSE = "application/vnd.pvc.sparse"
HALF = NEW[: SIZE // 2]


async def test_a_body_without_holes_becomes_the_volume_with_zeroes_in_them(site: Site) -> None:
    image = bytes(SIZE // 4) + HALF + bytes(SIZE // 4)
    answer = await upload(site, framed(SIZE, [(SIZE // 4, HALF)]), SPARSE, image_size=str(SIZE), checksum=hashed(image))
    assert (answer.status, answer.body["bytes"], answer.body["virtual_size"]) == (200, SIZE, SIZE)
    assert site.content("disk0") == image
    [task] = await site.tasks()
    assert (task.done, task.total) == (SIZE, SIZE)


@pytest.mark.parametrize("sent", [0, 10, 16, 5000, SIZE // 2 + 15])
async def test_a_body_without_holes_that_breaks_off_changes_nothing(site: Site, sent: int) -> None:
    answer = await upload(site, framed(SIZE, [(0, HALF)])[:sent], SPARSE, image_size=str(SIZE))
    assert (answer.status, answer.code) == (400, "invalid_image")
    assert "ended before its last frame" in answer.message
    await assert_nothing_came_of_it(site, TaskStatus.FAILED)


@pytest.mark.parametrize(
    ("kind", "more", "words"),
    [
        (SPARSE, {}, '"image_size" must be the size of the image with its holes'),
        (SPARSE, {"image_size": "0"}, '"image_size" must be the size'),
        (SPARSE, {"image_size": "-1"}, '"image_size" must be the size'),
        (SPARSE, {"image_size": "4M"}, '"image_size" must be a whole number'),
        (SPARSE, {"image_size": "4096", "image_format": "qcow2"}, '"image_format" must be "raw"'),
        ("application/octet-stream", {"image_size": "4096"}, f'"image_size" goes with a body of the type {SPARSE}'),
    ],
)
async def test_the_size_of_an_image_goes_with_a_raw_body_without_holes(
    site: Site, kind: str, more: dict[str, str], words: str
) -> None:
    answer = await upload(site, framed(4096, []), kind, **more)
    assert (answer.status, answer.code) == (400, "invalid_input")
    assert words in answer.message
    await assert_nothing_came_of_it(site)


@pytest.mark.parametrize(
    ("size", "status", "code"), [(SIZE + 1, 400, "image_too_large"), (64 * MIB + 1, 413, "too_large")]
)
async def test_an_image_whose_holes_do_not_fit_is_refused(site: Site, size: int, status: int, code: str) -> None:
    answer = await upload(site, framed(size, []), SPARSE, image_size=str(size))
    assert (answer.status, answer.code) == (status, code)
    await assert_nothing_came_of_it(site, TaskStatus.FAILED)


def hashed(image: bytes) -> str:
    return f"sha256:{hashlib.sha256(image).hexdigest()}"


async def test_a_cancelled_upload_leaves_the_volume_as_it_was(bare: Site) -> None:
    await bare.pool.create("disk0", MIB)
    bare.fill("disk0", b"old")

    async def endless() -> AsyncIterator[bytes]:
        yield b"new"
        await asyncio.Event().wait()

    path, raw = "/storage/ceph/volume/local/disk0/upload", {"image_format": "raw"}
    uploading = asyncio.create_task(bare.ask("POST", path, raw, data=endless()))
    while not (found := await bare.tasks()):
        pass
    assert (await bare.ask("POST", f"/tasks/{found[0].id}", {"action": "cancel"})).status == 200
    answer = await uploading
    assert (answer.status, answer.code) == (409, "cancelled")
    [task] = await bare.tasks()
    assert (task.status, bare.content("disk0")[:3], bare.hidden()) == ("cancelled", b"old", [])


async def test_a_clone_that_nobody_waits_for_is_a_task_that_ends(bare: Site) -> None:
    await bare.pool.create("disk0", MIB)
    path = "/storage/ceph/volume/local/disk0/clone"
    answer = await bare.ask("POST", path, {"new_volume": "copy", "wait": "false"})
    assert answer.status == 200
    shown = await bare.ask("GET", f"/tasks/{answer.body['task']}")
    while shown.body["status"] == "running":
        after = {"after": shown.body["version"], "wait": 10}
        shown = await bare.ask("GET", f"/tasks/{answer.body['task']}", after)
    assert (shown.body["status"], shown.body["kind"], shown.body["who"]) == ("done", "clone", "root")
    assert shown.body["result"] == 'Cloned volume "disk0" to "copy" in pool "local".'
    assert [volume.name for volume in await bare.pool.volumes()] == ["copy", "disk0"]
    answer = await bare.ask("POST", path, {"new_volume": "copy"})
    assert (answer.status, answer.code) == (409, "already_exists")
