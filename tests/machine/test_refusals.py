"""What pvc refuses, as a person at a shell meets it: one sentence, the right exit code, nothing changed."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests import guest
from tests.lab.guests import until
from tests.machine.conftest import Machine
from tests.machine.shell import DOMAIN, PROGRAM, Said, Shell
from tests.parts.serve import Serve

pytestmark = [pytest.mark.real, pytest.mark.timeout(180)]


def assert_one_sentence(said: Said, code: int, *words: str) -> None:
    lines = [line for line in said.err.strip().splitlines() if not line.startswith("receiving: ")]
    assert said.code == code, said.err
    assert len(lines) == 1, said.err
    assert "error" not in lines[0].lower()
    for word in words:
        assert word in lines[0]


@pytest.fixture
def volume(machine: Machine) -> Iterator[str]:
    """A volume of 48 MiB whose content is known."""
    machine.shell.do("storage", "volume", "add", machine.shell.pool, "kept", "48M")
    machine.shell.do("storage", "volume", "upload", machine.shell.pool, "kept", str(guest.build().raw))
    yield "kept"
    machine.shell.do("storage", "volume", "remove", machine.shell.pool, "kept", "-y")


def qemu_img(*words: str | Path) -> None:
    subprocess.run(["qemu-img", *words], check=True, capture_output=True)


def test_a_qcow2_with_a_backing_file_is_refused_and_nothing_of_it_stays(
    machine: Machine, volume: str, tmp_path: Path
) -> None:
    before = machine.content(volume)
    secret = tmp_path / "secret"
    secret.write_bytes(b"SECRET" * 100_000)
    qemu_img("create", "-f", "qcow2", "-F", "raw", "-b", secret, tmp_path / "evil.qcow2")
    said = machine.shell.run(
        "storage", "volume", "upload", machine.shell.pool, volume, str(tmp_path / "evil.qcow2"), "-f", "qcow2"
    )
    assert_one_sentence(said, 2, "backing file")
    assert machine.content(volume) == before
    assert machine.leftovers() == []


def test_a_qcow2_with_an_external_data_file_is_refused(machine: Machine, volume: str, tmp_path: Path) -> None:
    before = machine.content(volume)
    image = tmp_path / "evil.qcow2"
    qemu_img("create", "-f", "qcow2", "-o", f"data_file={tmp_path}/data,data_file_raw=on", image, "1M")
    said = machine.shell.run("storage", "volume", "upload", machine.shell.pool, volume, str(image), "-f", "qcow2")
    assert_one_sentence(said, 2, "another file")
    assert machine.content(volume) == before
    assert machine.leftovers() == []


def test_an_image_larger_than_its_volume_is_refused(machine: Machine, volume: str, tmp_path: Path) -> None:
    before = machine.content(volume)
    large = tmp_path / "large.raw"
    large.write_bytes(os.urandom(49 << 20))
    assert_one_sentence(
        machine.shell.run("storage", "volume", "upload", machine.shell.pool, volume, str(large)), 4, "does not fit"
    )
    wide = tmp_path / "wide.qcow2"
    qemu_img("create", "-f", "qcow2", wide, "1G")
    said = machine.shell.run("storage", "volume", "upload", machine.shell.pool, volume, str(wide), "-f", "qcow2")
    assert_one_sentence(said, 4, "does not fit")
    assert machine.content(volume) == before
    assert machine.leftovers() == []


def test_an_empty_upload_a_wrong_format_and_an_absent_volume_are_refused(
    machine: Machine, volume: str, tmp_path: Path
) -> None:
    before = machine.content(volume)
    empty = tmp_path / "empty.raw"
    empty.touch()
    upload = ("storage", "volume", "upload", machine.shell.pool)
    assert_one_sentence(machine.shell.run(*upload, volume, str(empty)), 2, "empty")
    raw = str(guest.build().raw)
    assert_one_sentence(machine.shell.run(*upload, volume, raw, "-f", "qcow2"), 2, "qcow2")
    assert_one_sentence(machine.shell.run(*upload, "none", raw), 3, "none")
    assert machine.content(volume) == before
    assert machine.leftovers() == []


def test_a_body_cut_short_changes_nothing_and_its_task_has_failed(machine: Machine, volume: str) -> None:
    before = machine.content(volume)
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(machine.shell.url.removeprefix("unix:"))
        path = f"/api/v1/storage/ceph/volume/{machine.shell.pool}/{volume}/upload?image_format=raw"
        client.sendall(f"POST {path} HTTP/1.1\r\nHost: pvc\r\nContent-Length: {32 << 20}\r\n\r\n".encode())
        client.sendall(os.urandom(9 << 20))
    done = wait_for_task(machine.shell, f"volume/{machine.shell.pool}/{volume}")
    assert done["status"] == "failed"
    assert machine.content(volume) == before
    assert machine.leftovers() == []


def wait_for_task(shell: Shell, target: str) -> dict[str, str]:
    """The newest task of `target`, once it has ended."""
    mine: list[dict[str, str]] = []

    def ended() -> bool:
        mine[:] = [task for task in shell.ask("task", "list") if task["target"] == target]
        return bool(mine) and mine[-1]["status"] != "running"

    shell.until(ended, "task")
    return mine[-1]


def test_pvc_serve_killed_in_the_middle_of_an_upload_leaves_the_old_content_and_says_so(
    machine: Machine, volume: str
) -> None:
    before = machine.content(volume)
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(machine.shell.url.removeprefix("unix:"))
        path = f"/api/v1/storage/ceph/volume/{machine.shell.pool}/{volume}/upload?image_format=raw"
        client.sendall(f"POST {path} HTTP/1.1\r\nHost: pvc\r\nContent-Length: {32 << 20}\r\n\r\n".encode())
        client.sendall(os.urandom(9 << 20))
        machine.serve.kill()
    machine.serve.start()
    assert machine.content(volume) == before
    assert wait_for_task(machine.shell, f"volume/{machine.shell.pool}/{volume}")["status"] == "failed"
    put_away(machine)
    machine.shell.do("storage", "volume", "upload", machine.shell.pool, volume, str(guest.build().raw))


def put_away(machine: Machine) -> None:
    """Return when uploads have left nothing. Ceph takes half a minute to believe a death."""
    until(lambda: machine.leftovers() == [], within_s=120)


def test_the_volume_of_a_running_guest_takes_no_upload_no_roll_back_no_removal(machine: Machine) -> None:
    shell = machine.shell
    shell.make_vm("busy", guest.build().qcow2)
    shell.do("storage", "snapshot", "add", shell.pool, "busy", "one")
    shell.do("vm", "start", "busy")
    for words in (
        ("volume", "upload", shell.pool, "busy", str(guest.build().raw)),
        ("snapshot", "rollback", shell.pool, "busy", "one", "-y"),
        ("volume", "remove", shell.pool, "busy", "-y"),
        ("volume", "rename", shell.pool, "busy", "other"),
        ("volume", "resize", shell.pool, "busy", "16M", "--force"),
    ):
        assert_one_sentence(shell.run("storage", *words), 4, "busy")
    assert shell.vm("busy")["state"] == "start"
    assert shell.ask("storage", "volume", "info", shell.pool, "busy")["stats"]["size"] == "48M"
    shell.do("vm", "stop", "busy")
    shell.do("storage", "snapshot", "remove", shell.pool, "busy", "one", "-y")
    shell.do("vm", "remove", "busy", "-y")


@pytest.mark.parametrize(
    ("document", "word"),
    [
        ("<domain><name>x</name>", "XML"),
        ("<network/>", '"network"'),
        ('<!DOCTYPE domain [<!ENTITY a "b">]><domain><name>&a;</name></domain>', "DOCTYPE"),
        ('<!DOCTYPE domain SYSTEM "file:///etc/passwd"><domain/>', "DOCTYPE"),
        (DOMAIN.format(pool="local", name="a/b", more=""), "name"),
        (DOMAIN.format(pool="local", name="ok", more="<hostdev mode='subsystem' type='pci'/>"), "hostdev"),
        (
            DOMAIN.format(
                pool="local", name="ok", more="<disk type='file'><source file='/etc/passwd'/><target dev='vdz'/></disk>"
            ),
            "/etc",
        ),
        (DOMAIN.format(pool="local", name="absent", more=""), "absent"),
    ],
)
def test_xml_that_is_malformed_or_hostile_is_refused_and_no_vm_appears(
    machine: Machine, document: str, word: str
) -> None:
    said = machine.shell.run("vm", "define", "-", stdin=document.replace("'local'", f"'{machine.shell.pool}'"))
    assert said.code in (2, 3, 6)
    assert_one_sentence(said, said.code, word)
    assert machine.shell.ask("vm", "list") == []


def test_a_document_of_50_mb_is_refused(machine: Machine) -> None:
    said = machine.shell.run("vm", "define", "-", stdin="<domain>" + " " * (50 << 20) + "</domain>")
    assert_one_sentence(said, 4, "limit")
    assert machine.shell.ask("vm", "list") == []


def test_a_device_that_is_there_already_and_an_unknown_vm_are_refused(machine: Machine) -> None:
    shell = machine.shell
    shell.make_vm("once", guest.build().qcow2)
    shell.do("vm", "start", "once")
    assert_one_sentence(shell.run("vm", "volume", "add", "once", f"{shell.pool}/once"), 4, "already")
    shell.do("storage", "volume", "add", shell.pool, "second", "8M")
    assert_one_sentence(shell.run("vm", "volume", "add", "once", f"{shell.pool}/second", "-d", "vda"), 4, "vda")
    assert_one_sentence(shell.run("vm", "volume", "add", "once", f"{shell.pool}/none"), 3, "none")
    assert_one_sentence(shell.run("vm", "start", "nobody"), 3, '"nobody"')
    assert [disk["dev"] for disk in shell.vm("once")["disks"]] == ["vda"]
    shell.do("vm", "remove", "once", "-y")
    shell.do("storage", "volume", "remove", shell.pool, "second", "-y")


def test_a_second_pvc_serve_on_the_same_store_is_refused_and_the_first_goes_on(alone: Machine) -> None:
    said = serve(alone.serve.config)
    assert_one_sentence(said, 4, "in use", str(alone.serve.pid))
    alone.shell.do("status")


def serve(config: Path, program: Sequence[str] = PROGRAM) -> Said:
    environment = os.environ | {"PVC_CONFIG": str(config)}
    done = subprocess.run([*program, "serve"], env=environment, capture_output=True, text=True, timeout=60)
    return Said(done.returncode, done.stdout, done.stderr)


@pytest.fixture
def somebody(alone: Machine) -> list[str]:
    """How a user other than root calls pvc: this source, or the one file where the source is in a folder of root's."""
    user = ["setpriv", "--reuid=65534", "--clear-groups"]
    if subprocess.run([*user, *PROGRAM, "--version"], capture_output=True).returncode == 0:
        return [*user, *PROGRAM]
    frozen = Path("dist/pvc")
    if not frozen.exists():
        pytest.skip("only root can read this source, and there is no dist/pvc (make dist)")
    return [*user, str(shutil.copy(frozen, alone.serve.config.parent / "pvc"))]


def test_pvc_serve_without_root_says_that_it_needs_it(alone: Machine, somebody: list[str]) -> None:
    assert_one_sentence(serve(alone.serve.config, somebody), 6, "root")


def test_a_socket_that_one_may_not_open_is_said_so(alone: Machine, somebody: list[str]) -> None:
    environment = os.environ | {"PVC_URL": alone.shell.url}
    done = subprocess.run([*somebody, "vm", "list"], env=environment, capture_output=True, text=True)
    assert_one_sentence(Said(done.returncode, done.stdout, done.stderr), 6)


def test_a_configuration_with_mistakes_names_them_all(tmp_path: Path) -> None:
    config = tmp_path / "pvc.toml"
    config.write_text('log_level = "loud"\nnonsense = 1\n[upload]\nmost_at_once = 0\n')
    said = serve(config)
    assert said.code == 2
    assert len(said.err.strip().splitlines()) == 3


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[None]:
    folder.mkdir(parents=True, exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "pvctest", str(folder)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def test_a_full_pool_is_said_so_and_gives_back_what_the_upload_took(folder: Path, tmp_path: Path) -> None:
    own = folder / "small"
    own.mkdir(mode=0o755)
    image = tmp_path / "image.raw"
    image.write_bytes(os.urandom(24 << 20))
    with small_disk(own / "pool", "16M"), Serve(own, f"qemu+unix:///system?socket={own}/none") as small:
        shell = Shell(small.url)
        assert_one_sentence(shell.run("storage", "volume", "add", shell.pool, "huge", "1T"), 4, "space")
        small_size = small.pool / "v.raw"
        shell.do("storage", "volume", "add", shell.pool, "v", "15M")
        small_size.write_bytes(b"")
        os.truncate(small_size, 24 << 20)
        assert_one_sentence(shell.run("storage", "volume", "upload", shell.pool, "v", str(image)), 4, "space")
        free = os.statvfs(own / "pool")
        assert free.f_bavail * free.f_bsize > 15 << 20
        assert list((small.pool / ".incoming").iterdir()) == []


def test_a_client_that_stalls_is_given_up_in_its_time(folder: Path) -> None:
    own = folder / "patient"
    own.mkdir(mode=0o755)
    extra = "\n[upload]\nidle_timeout_s = 0.5\n"
    with Serve(own, f"qemu+unix:///system?socket={own}/none", extra=extra) as slow:
        shell = Shell(slow.url)
        shell.do("storage", "volume", "add", shell.pool, "v", "8M")
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(slow.url.removeprefix("unix:"))
            path = "/api/v1/storage/ceph/volume/local/v/upload?image_format=raw"
            client.sendall(f"POST {path} HTTP/1.1\r\nHost: pvc\r\nContent-Length: 8388608\r\n\r\nabc".encode())
            closer = threading.Timer(60, lambda: os.kill(slow.pid, signal.SIGKILL))
            closer.start()
            answer = client.recv(65536)
            closer.cancel()
        assert b" 504 " in answer.splitlines()[0]
        assert list((slow.pool / ".incoming").iterdir()) == []
