"""Volumes on their way into a file."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.parts.sparse import framed
from tests.unit.cli.calling import PVC
from tests.unit.cli.fake_api import Answer, FakeAPI

LINE = ["storage", "volume", "download", "local", "web1"]
WHAT = "GET /storage/ceph/volume/local/web1/download"
MIB = 1 << 20


def test_a_raw_volume_becomes_a_file_with_its_holes(pvc: PVC, api: FakeAPI, tmp_path: Path) -> None:
    api.tell(WHAT, Answer(framed(64 * MIB, [(MIB, b"x" * MIB), (3 * MIB, b"y" * 4096)])))
    result = pvc(*LINE, str(tmp_path / "disk"))
    assert (result.returncode, result.stdout) == (0, f'Wrote "{tmp_path / "disk"}".\n')
    assert api.request.query == {"image_format": ["raw"], "sparse": ["true"]}
    disk = (tmp_path / "disk").read_bytes()
    assert disk == (bytes(MIB) + b"x" * MIB + bytes(MIB) + b"y" * 4096).ljust(64 * MIB, b"\0")
    assert (tmp_path / "disk").stat().st_blocks * 512 <= 3 * MIB
    assert result.stderr.startswith("receiving: ")


def test_stdout_gets_the_whole_disk(pvc: PVC, api: FakeAPI) -> None:
    api.tell(WHAT, Answer(b"the disk"))
    result = pvc(*LINE, "-", "-s", "before")
    assert (result.returncode, result.stdout) == (0, "the disk")
    assert api.request.query == {"image_format": ["raw"], "snapshot": ["before"]}


def test_qcow2_is_written_as_it_comes(pvc: PVC, api: FakeAPI, tmp_path: Path) -> None:
    api.tell(WHAT, Answer(b"QFI\xfb"))
    assert pvc(*LINE, str(tmp_path / "disk"), "-f", "qcow2").returncode == 0
    assert api.request.query == {"image_format": ["qcow2"]}
    assert (tmp_path / "disk").read_bytes() == b"QFI\xfb"


@pytest.mark.parametrize("image_format", ["raw", "qcow2"])
def test_what_breaks_off_leaves_no_file(pvc: PVC, api: FakeAPI, tmp_path: Path, image_format: str) -> None:
    api.tell(WHAT, Answer(framed(MIB, [(0, b"x" * 4096)])[:5000], short=True))
    result = pvc(*LINE, str(tmp_path / "disk"), "-f", image_format)
    assert (result.returncode, result.stderr.splitlines()[-1]) == (
        5,
        "The server broke off before the end; its log says why.",
    )
    assert not (tmp_path / "disk").exists()


def test_a_refusal_leaves_no_file(pvc: PVC, api: FakeAPI, tmp_path: Path) -> None:
    api.tell(WHAT, Answer({"message": "No.", "code": "not_found"}, 404))
    result = pvc(*LINE, str(tmp_path / "disk"))
    assert (result.returncode, result.stderr) == (3, "No.\n")
    assert not (tmp_path / "disk").exists()


def test_a_file_that_is_there_is_not_touched(pvc: PVC, api: FakeAPI, tmp_path: Path) -> None:
    (tmp_path / "disk").write_text("mine")
    result = pvc(*LINE, str(tmp_path / "disk"))
    assert (result.returncode, api.requests) == (2, [])
    assert result.stderr.endswith("cannot be made: File exists\n")
    assert (tmp_path / "disk").read_text() == "mine"
