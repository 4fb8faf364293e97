"""Images on their way into a volume."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from pvc.cli.client import Client
from pvc.cli.failure import Failure
from pvc.cli.resuming import PAUSES_S, resumed
from tests.parts.sparse import framed
from tests.unit.cli.answers import DONE, TASK, TASK_ID
from tests.unit.cli.calling import PVC, interrupted
from tests.unit.cli.fake_api import Answer, FakeAPI, Request

LINE = ["storage", "volume", "upload", "local", "web1"]
WHAT = "POST /storage/ceph/volume/local/web1/upload"
FAR, ON = WHAT.replace("POST", "GET"), WHAT.replace("POST", "PATCH")
REFUSED = Answer({"message": 'Volume "local/web1" is in use by VM "web1".', "code": "in_use"}, 409, early=True)


def unnamed(upload: Request) -> dict[str, list[str]]:
    """What is asked for besides the word by which it is gone on with."""
    assert len(upload.query["resume"][0]) == 16
    return {name: value for name, value in upload.query.items() if name != "resume"}


@pytest.fixture
def image(tmp_path: Path) -> Path:
    file = tmp_path / "image.raw"
    file.write_bytes(os.urandom(9 << 20))
    return file


def test_a_file_is_sent_whole_with_its_length(pvc: PVC, api: FakeAPI, image: Path) -> None:
    result = pvc(*LINE, str(image), "-f", "qcow2")
    assert (result.returncode, result.stdout) == (0, "Done.\n")
    assert unnamed(api.change) == {"image_format": ["qcow2"]}
    assert api.change.headers["content-type"] == "application/octet-stream"
    assert api.change.headers["content-length"] == str(9 << 20)
    assert api.change.body == image.read_bytes()
    assert result.stderr.startswith("receiving: 9M\nreceiving: 9M in ")


def test_stdin_of_unknown_length_is_sent_in_chunks(pvc: PVC, api: FakeAPI, image: Path) -> None:
    result = pvc(*LINE, "-", text=image.read_bytes())
    assert (result.returncode, result.stdout) == (0, "Done.\n")
    assert api.change.query == {"image_format": ["raw"]}
    assert api.change.headers["transfer-encoding"] == "chunked"
    assert "content-length" not in api.change.headers
    assert api.change.body == image.read_bytes()


def test_stdin_from_a_file_begins_where_it_stands(pvc: PVC, api: FakeAPI, image: Path) -> None:
    with image.open("rb") as source:
        os.lseek(source.fileno(), 1 << 20, os.SEEK_SET)
        result = pvc(*LINE, "-", stdin=source)
    assert result.returncode == 0
    assert api.change.headers["content-length"] == str(8 << 20)
    assert api.change.body == image.read_bytes()[1 << 20 :]


MIB = 1 << 20


@pytest.fixture
def sparse(tmp_path: Path) -> Path:
    """6 MiB: a hole, a byte less than a MiB of data, a hole."""
    file = tmp_path / "sparse.raw"
    with file.open("wb") as writing:
        writing.truncate(6 * MIB)
        writing.seek(2 * MIB)
        writing.write(b"x" * (MIB - 1))
    return file


@pytest.mark.parametrize("kind", ["unix", "tcp"])
def test_the_holes_of_a_file_are_not_sent(pvc: PVC, api: FakeAPI, tcp_api: FakeAPI, sparse: Path, kind: str) -> None:
    asked, where = (api, []) if kind == "unix" else (tcp_api, ["-c", tcp_api.url])
    result = pvc(*LINE, *where, str(sparse))
    assert (result.returncode, result.stdout) == (0, "Done.\n")
    assert unnamed(asked.change) == {"image_format": ["raw"], "image_size": [str(6 * MIB)]}
    assert asked.change.headers["content-type"] == "application/vnd.pvc.sparse"
    assert asked.change.body == framed(6 * MIB, [(2 * MIB, (b"x" * (MIB - 1)).ljust(MIB, b"\0"))])
    assert result.stderr.startswith("receiving: 6M\nreceiving: 6M in ")


def test_holes_are_left_out_from_where_stdin_stands(pvc: PVC, api: FakeAPI, sparse: Path) -> None:
    with sparse.open("rb") as source:
        os.lseek(source.fileno(), 2 * MIB + MIB // 2, os.SEEK_SET)
        result = pvc(*LINE, "-", stdin=source)
    assert result.returncode == 0
    assert api.change.query["image_size"] == [str(7 * MIB // 2)]
    assert api.change.body == framed(7 * MIB // 2, [(0, (b"x" * (MIB // 2 - 1)).ljust(MIB // 2, b"\0"))])


def test_holes_are_left_out_between_runs_and_short_ones_are_sent(pvc: PVC, api: FakeAPI, tmp_path: Path) -> None:
    with (tmp_path / "runs").open("wb") as file:
        file.truncate(6 * MIB)
        for start in (0, 32 << 10, 96 << 10, 2 * MIB, 5 * MIB):
            file.seek(start)
            file.write(b"x" * 4096)
    assert pvc(*LINE, str(tmp_path / "runs")).returncode == 0
    image = (tmp_path / "runs").read_bytes()
    ends = [(0, 128 << 10), (2 * MIB, 2 * MIB + (64 << 10)), (5 * MIB, 5 * MIB + (64 << 10))]
    assert api.change.body == framed(6 * MIB, [(start, image[start:end]) for start, end in ends])


def test_a_file_that_is_one_hole_is_sent_as_that(pvc: PVC, api: FakeAPI, tmp_path: Path) -> None:
    with (tmp_path / "hole").open("wb") as file:
        file.truncate(1 << 40)
    assert pvc(*LINE, str(tmp_path / "hole")).returncode == 0
    assert api.change.body == framed(1 << 40, [])


def test_a_format_of_its_own_is_sent_as_it_is(pvc: PVC, api: FakeAPI, sparse: Path) -> None:
    assert pvc(*LINE, str(sparse), "-f", "qcow2").returncode == 0
    assert api.change.headers["content-type"] == "application/octet-stream"
    assert api.change.body == sparse.read_bytes()


@pytest.mark.parametrize(
    ("begins", "image_format"),
    [
        (b"QFI\xfb", "qcow2"),
        (b"QED\0", "qed"),
        (b"KDMV", "vmdk"),
        (b"vhdxfile", "vhdx"),
        (b"conectix", "vpc"),
        (b"<<<".ljust(64, b" ") + b"\x7f\x10\xda\xbe", "vdi"),
        (b"\x1f\x8b\x08", "raw"),
        (b"\xeb\x63", "raw"),
    ],
)
def test_a_file_is_declared_as_what_it_begins_like(
    pvc: PVC, api: FakeAPI, tmp_path: Path, begins: bytes, image_format: str
) -> None:
    (tmp_path / "image").write_bytes(begins.ljust(1000, b"x"))
    assert pvc(*LINE, str(tmp_path / "image"), "--verify").returncode == 0
    assert unnamed(api.change) == {"image_format": [image_format], "verify": ["true"]}
    assert api.change.body == begins.ljust(1000, b"x")


def test_an_empty_file_is_the_servers_to_judge(pvc: PVC, api: FakeAPI, tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    api.tell(WHAT, Answer({"message": "The image is empty.", "code": "invalid_image"}, 400))
    result = pvc(*LINE, str(tmp_path / "empty"))
    assert (result.returncode, result.stderr) == (2, "The image is empty.\n")
    assert api.change.headers["content-length"] == "0"


def test_a_refusal_before_the_end_is_read_and_told(pvc: PVC, api: FakeAPI, tmp_path: Path) -> None:
    api.tell(WHAT, REFUSED)
    huge = tmp_path / "huge"
    with huge.open("wb") as file:
        file.truncate(1 << 40)
    result = pvc(*LINE, str(huge), "-f", "qcow2")
    assert result.returncode == 4
    assert result.stderr.splitlines()[-1] == 'Volume "local/web1" is in use by VM "web1".'


def test_a_refusal_of_an_endless_stream_is_read_and_told(pvc: PVC, api: FakeAPI) -> None:
    api.tell(WHAT, REFUSED)
    with open("/dev/zero", "rb") as endless:
        result = pvc(*LINE, "-", stdin=endless)
    assert result.returncode == 4
    assert result.stderr.splitlines()[-1] == 'Volume "local/web1" is in use by VM "web1".'


def test_a_server_that_goes_away_is_told(pvc: PVC, api: FakeAPI, tmp_path: Path) -> None:
    api.tell(WHAT, Answer(early=True, breaks=True))
    api.tell(FAR, Answer({"message": "No upload.", "code": "not_found"}, 404))
    huge = tmp_path / "huge"
    with huge.open("wb") as file:
        file.truncate(1 << 40)
    result = pvc(*LINE, str(huge), "-f", "qcow2")
    assert result.returncode == 5
    assert " broke; what was asked may still have happened: " in result.stderr


def came(offset: int) -> Answer:
    return Answer({"message": "Received some.", "offset": offset, "task": TASK_ID})


def test_an_upload_that_breaks_goes_on_by_itself(pvc: PVC, api: FakeAPI, image: Path) -> None:
    api.tell(WHAT, Answer(cut=MIB))
    api.tell(FAR, came(MIB), came(5 * MIB))
    api.tell(ON, Answer(cut=4 * MIB), Answer())
    result = pvc(*LINE, str(image), "--checksum", "sha256")
    assert (result.returncode, result.stdout) == (0, "Done.\n")
    first, second, third = (request for request in api.requests if request.method != "GET")
    assert [second.headers["upload-offset"], third.headers["upload-offset"]] == [str(MIB), str(5 * MIB)]
    assert (second.headers["content-length"], second.query) == (str(8 * MIB), {"resume": first.query["resume"]})
    ours = {
        str(request.query) for request in api.requests if request.method != "POST" and request.path in (FAR[4:], ON[6:])
    }
    assert ours == {str(second.query)}
    assert first.body + second.body + third.body == image.read_bytes()


@pytest.mark.parametrize("offset", [MIB, 2 * MIB + 5, 4 * MIB])
def test_the_holes_of_the_rest_are_not_sent_either(pvc: PVC, api: FakeAPI, sparse: Path, offset: int) -> None:
    api.tell(WHAT, Answer(early=True, breaks=True))
    api.tell(FAR, came(offset))
    assert pvc(*LINE, str(sparse)).returncode == 0
    rest = sparse.read_bytes()[max(offset, 2 * MIB) : 3 * MIB]
    frames = [(max(offset, 2 * MIB), rest)] if offset < 3 * MIB else []
    assert api.requests[-1].headers["content-type"] == "application/vnd.pvc.sparse"
    assert api.requests[-1].body == framed(6 * MIB, frames)


def test_an_offset_that_has_moved_meanwhile_is_asked_for_again(pvc: PVC, api: FakeAPI, image: Path) -> None:
    api.tell(WHAT, Answer(cut=MIB))
    api.tell(FAR, came(MIB), came(2 * MIB))
    moved = {"message": "It goes on elsewhere.", "code": "conflict", "fields": {"offset": 2 * MIB}}
    api.tell(ON, Answer(moved, 409), Answer())
    assert pvc(*LINE, str(image)).returncode == 0
    assert api.requests[-1].body == image.read_bytes()[2 * MIB :]


def test_what_breaks_from_a_stream_is_not_gone_on_with(pvc: PVC, api: FakeAPI, image: Path) -> None:
    api.tell(WHAT, Answer(early=True, breaks=True))
    assert pvc(*LINE, "-", text=image.read_bytes()).returncode == 5
    assert api.change.query == {"image_format": ["raw"]}


def test_interrupting_an_upload_cancels_it(pvc: PVC, api: FakeAPI, image: Path) -> None:
    import signal

    api.hold(WHAT, until=f"POST /tasks/{TASK_ID}")
    api.tell("GET /tasks", Answer([{**TASK, "version": 3}]))
    api.tell(f"GET /tasks/{TASK_ID}", Answer({**TASK, "version": 4}))
    api.tell(FAR, came(9 * MIB))
    process = pvc.start(*LINE, str(image), "-f", "qcow2", stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stderr is not None
    while b"converting" not in process.stderr.readline():
        pass
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=30)
    assert process.returncode == 130
    assert told.endswith(b"\nThe upload was cancelled and changed nothing.\n")
    assert [request.json for request in api.requests if request.path == f"/tasks/{TASK_ID}" and request.body] == [
        {"action": "cancel"}
    ]


def test_tries_to_go_on_come_to_an_end_unless_they_bring_something() -> None:
    paused: list[float] = []

    def ask() -> dict[str, Any]:
        raise Failure("unreachable", "Away.")

    def send(_begin: int | None) -> None:
        raise Failure("unreachable", "Broke.")

    with pytest.raises(Failure, match="Broke"):
        resumed(send, ask, Client("unix:/nowhere"), paused.append)
    assert tuple(paused) == PAUSES_S


URL = "https://images.example/debian/12.qcow2.xz?key=1"


def test_what_is_at_an_address_is_the_servers_to_fetch(pvc: PVC, api: FakeAPI) -> None:
    api.tell(WHAT, Answer({"message": "Fetching.", "task": TASK_ID}))
    api.tell(f"GET /tasks/{TASK_ID}", Answer({**TASK, "version": 4, "done": 2 << 30}), Answer({**DONE, "figures": {}}))
    result = pvc(*LINE, URL, "--checksum", "sha256")
    assert (result.returncode, result.stdout) == (0, f"{DONE['result']}\n"), result.stderr
    expected = {"image_format": ["qcow2"], "url": [URL], "checksum": ["sha256"], "wait": ["false"]}
    assert (api.change.query, api.change.body) == (expected, b"")


def test_a_fetch_need_not_be_waited_for_but_a_file_must(pvc: PVC, api: FakeAPI, image: Path) -> None:
    api.tell(WHAT, Answer({"message": "Fetching.", "task": TASK_ID}))
    result = pvc(*LINE, URL, "-f", "raw", "--no-wait")
    assert (result.returncode, result.stdout) == (0, "Fetching.\n")
    assert api.request.query["image_format"] == ["raw"]
    assert pvc(*LINE, str(image), "--no-wait").returncode == 2


def test_what_the_server_does_with_the_image_is_shown(pvc: PVC, api: FakeAPI, image: Path) -> None:
    """The answer to the upload is held back until the task has been asked to its end."""
    api.hold(WHAT, until=f"GET /tasks/{TASK_ID}")
    api.tell("GET /tasks", Answer([{**TASK, "version": 3}]))
    api.tell(f"GET /tasks/{TASK_ID}", Answer({**TASK, "version": 4, "done": 2 << 30}), Answer(DONE))
    result = pvc(*LINE, str(image), "-f", "qcow2")
    assert (result.returncode, result.stdout) == (0, "Done.\n")
    asked = [request.query for request in api.requests if request.path.startswith("/tasks")]
    assert asked[0] == {"target": ["volume/local/web1"], "status": ["running"]}
    assert [query["after"] for query in asked[1:]] == [["3"], ["4"]]
    assert "converting: 4G\nconverting: " in result.stderr


def test_a_task_that_has_no_phase_yet_is_not_shown(pvc: PVC, api: FakeAPI, image: Path) -> None:
    api.hold(WHAT, until=f"GET /tasks/{TASK_ID}")
    api.tell("GET /tasks", Answer([{**TASK, "phase": "", "total": 0}]))
    api.tell(f"GET /tasks/{TASK_ID}", Answer(DONE))
    result = pvc(*LINE, str(image), "-f", "qcow2")
    assert (result.returncode, result.stdout) == (0, "Done.\n")
    assert [line.partition(":")[0] for line in result.stderr.splitlines()] == ["receiving"] * 2


def test_an_upload_does_not_need_tasks_to_be_answered(pvc: PVC, api: FakeAPI, image: Path) -> None:
    api.hold(WHAT, until="GET /tasks")
    api.tell("GET /tasks", Answer({"message": "Not now.", "code": "unavailable"}, 503))
    result = pvc(*LINE, str(image))
    assert (result.returncode, result.stdout) == (0, "Done.\n")


def test_interrupted_while_sending_leaves_no_trace_of_python(pvc: PVC, api: FakeAPI) -> None:
    reader, writer = os.pipe()
    process = pvc.start(*LINE, "-", stdin=reader, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stderr is not None
    os.write(writer, b"x")
    assert process.stderr.readline() == b"receiving: begun\n"
    rest = interrupted(process)
    os.close(reader)
    os.close(writer)
    assert process.returncode == 130
    assert b"Traceback" not in rest


def test_an_ova_is_sent_as_it_is(pvc: PVC, api: FakeAPI, image: Path) -> None:
    result = pvc("provisioner", "ova", "upload", "app", str(image), "-p", "local", "--checksum", "sha256")
    assert (result.returncode, result.stdout) == (0, "Done.\n")
    assert (api.change.method, api.change.path) == ("POST", "/provisioner/ova/app")
    assert api.change.query == {"pool": ["local"], "ova_size": [str(9 << 20)], "checksum": ["sha256"]}
    assert api.change.body == image.read_bytes()


def test_without_a_volume_nothing_is_sent_and_it_is_said_how_to_make_one(pvc: PVC, api: FakeAPI, image: Path) -> None:
    fields = {"kind": "volume", "name": "local/web2"}
    refusal = {"message": 'No volume "local/web2".', "code": "not_found", "fields": fields}
    api.tell("GET /storage/ceph/volume/local/web2", Answer(refusal, 404))
    result = pvc("storage", "volume", "upload", "local", "web2", str(image))
    assert (result.returncode, result.stderr) == (
        3,
        'No volume "local/web2": make it first: "pvc storage volume add local web2 SIZE".\n',
    )
    assert [request.method for request in api.requests] == ["GET"]
