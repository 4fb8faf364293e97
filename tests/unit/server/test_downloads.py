"""Volumes through the server and out."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pvc.model.records import TaskStatus
from pvc.units import MIB
from tests.parts.sparse import framed
from tests.unit.server.site import BASE, UPLOADS, Site, opened

SIZE = 4 * MIB
PATH = "/storage/ceph/volume/local/disk0/download"
DISK = (bytes(MIB) + b"data" * 1024).ljust(SIZE, b"\0")


@pytest.fixture
async def site(bare: Site) -> Site:
    """One volume with a page of data in its middle."""
    await bare.pool.create("disk0", SIZE)
    with (bare.folder / "pool" / "disk0.raw").open("r+b") as file:
        file.seek(MIB)
        file.write(b"data" * 1024)
    return bare


async def fetch(site: Site, method: str = "GET", **params: str) -> tuple[int, bytes, Any]:
    async with site.client.request(method, f"http://pvc{BASE}{PATH}", params=params) as answer:
        return answer.status, await answer.read(), answer.headers


async def test_a_volume_is_sent_and_its_snapshot_is_gone(site: Site) -> None:
    status, body, headers = await fetch(site)
    assert (status, body) == (200, DISK)
    assert headers["Content-Length"] == str(SIZE)
    assert await site.pool.snapshots("disk0") == []


async def test_what_is_asked_only_about_is_not_sent(site: Site) -> None:
    status, body, headers = await fetch(site, "HEAD")
    assert (status, body, headers["Content-Length"]) == (200, b"", str(SIZE))
    assert await site.pool.snapshots("disk0") == []


async def test_a_snapshot_is_sent_and_stays(site: Site) -> None:
    await site.pool.snapshot("disk0", "before")
    site.fill("disk0", b"new")
    assert (await fetch(site, snapshot="before"))[:2] == (200, DISK)
    assert [snapshot.name for snapshot in await site.pool.snapshots("disk0")] == ["before"]


async def test_holes_are_left_out_when_asked(site: Site) -> None:
    status, body, headers = await fetch(site, sparse="true")
    assert (status, body) == (200, framed(SIZE, [(MIB, b"data" * 1024)]))
    assert headers["Content-Type"] == "application/vnd.pvc.sparse"


async def test_qcow2_is_sent_with_its_length(site: Site) -> None:
    status, body, headers = await fetch(site, image_format="qcow2")
    assert (status, headers["Content-Length"]) == (200, str(len(body)))
    assert body.startswith(b"QFI\xfb\0\0\0\3")
    assert b"data" * 1024 in body


@pytest.mark.parametrize(
    ("params", "status", "code"),
    [
        ({"image_format": "vmdk"}, 400, "invalid_input"),
        ({"image_format": "qcow2", "sparse": "true"}, 400, "invalid_input"),
        ({"snapshot": "absent"}, 404, "not_found"),
        ({"snapshot": "../disk0"}, 404, "not_found"),
    ],
)
async def test_what_cannot_be_sent_is_refused(site: Site, params: dict[str, str], status: int, code: str) -> None:
    answer = await site.ask("GET", PATH, params)
    assert (answer.status, answer.code) == (status, code)
    assert await site.pool.snapshots("disk0") == []


async def test_a_download_is_a_task_and_only_so_many_go_on_at_once(tmp_path: Path) -> None:
    async with opened(tmp_path, uploads=replace(UPLOADS, most_downloads=1)) as site:
        await site.pool.create("disk0", 64 * MIB)
        site.fill("disk0", b"x" * (64 * MIB))
        async with site.client.get(f"http://pvc{BASE}{PATH}") as first:
            [task] = await site.tasks()
            assert (task.kind, task.status, task.who) == ("download", TaskStatus.RUNNING, "root")
            assert [one.name for one in await site.pool.snapshots("disk0")] == [task.args["snapshot"]]
            second = await site.ask("GET", PATH)
            assert (second.status, second.code) == (409, "busy")
            assert second.message == 'Server "hv1" is busy with 1 downloads, the most it takes.'
            assert len(await first.read()) == 64 * MIB
        [task] = await site.tasks()
        assert (task.status, task.result) == (TaskStatus.DONE, f"Sent {64 * MIB} bytes.")
        assert (await fetch(site))[0] == 200
