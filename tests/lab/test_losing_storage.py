"""Ceph, or a server that was writing into it, is lost: content is old or new, and nothing stays behind."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
import rbd

from tests import guest
from tests.lab import faults
from tests.lab.guests import refusal, taken, unharmed, until
from tests.lab.lab import Lab, Node
from tests.machine.shell import PROGRAM, Shell
from tests.parts.ceph import POOL, Ceph

pytestmark = [pytest.mark.real, pytest.mark.lab, pytest.mark.timeout(100)]

OLD = b"old content " * (1 << 20)


@contextmanager
def half_uploaded(shell: Shell, volume: str, image: Path) -> Iterator[None]:
    """An upload that waits for its second half; its client goes when it is over."""
    words = [*PROGRAM, "storage", "volume", "upload", POOL, volume, "-", "-f", image.suffix[1:]]
    with subprocess.Popen(words, env=shell.environment, stdin=subprocess.PIPE, stderr=subprocess.DEVNULL) as client:
        assert client.stdin is not None
        client.stdin.write(image.read_bytes()[: image.stat().st_size // 2])
        client.stdin.flush()
        yield
        client.kill()


def task(shell: Shell) -> dict[str, object]:
    """The newest upload."""
    return dict(shell.ask("task", "list", "--kind", "upload")[-1])


def images(ceph: Ceph) -> list[str]:
    """What there really is in Ceph."""
    with ceph.admin() as cluster, closing(cluster.open_ioctx(POOL)) as pool:
        return [str(entry["name"]) for entry in rbd.RBD().list2(pool)]


def beginning(ceph: Ceph, image: str, length: int) -> bytes:
    with (
        ceph.admin() as cluster,
        closing(cluster.open_ioctx(POOL)) as pool,
        rbd.Image(pool, image, read_only=True) as opened,
    ):
        return bytes(opened.read(0, length))


@pytest.mark.parametrize("kind", ["raw", "qcow2"])
def test_an_upload_whose_server_dies_has_failed_and_leaves_nothing(
    lab: Lab, node: Node, web: str, tmp_path: Path, kind: str
) -> None:
    living, dying = lab.servers
    living.shell.do("storage", "volume", "add", POOL, kind, "48M")
    (tmp_path / "old.raw").write_bytes(OLD)
    living.shell.do("storage", "volume", "upload", POOL, kind, str(tmp_path / "old.raw"))
    with unharmed(lab, node, web):
        with half_uploaded(dying.shell, kind, getattr(guest.build(), kind)):
            until(lambda: task(living.shell)["status"] == "running" and task(living.shell)["done"])
            assert len(images(lab.ceph)) > 2
            dying.serve.kill()
        until(lambda: task(living.shell)["status"] == "failed")
        assert "ended, or lost the cluster store" in str(task(living.shell)["problem"])
        until(lambda: sorted(images(lab.ceph)) == sorted(["web", kind]))
        assert beginning(lab.ceph, kind, len(OLD)) == OLD
        dying.serve.start()
        dying.shell.do("storage", "volume", "remove", POOL, kind, "-y")


@pytest.mark.parametrize("part", ["osd", "mon"])
def test_a_ceph_that_hangs_is_told_and_afterwards_guests_go_on(lab: Lab, node: Node, web: str, part: str) -> None:
    first, second = (server.shell for server in lab.servers)
    with unharmed(lab, node, web):
        with faults.frozen(getattr(lab.ceph, part)):
            for _ in range(2):  # together longer than Ceph waits for a dead client
                assert "Ceph did not answer in time" in refusal(
                    first.run("storage", "volume", "add", POOL, "late", "8M")
                )
                assert second.vm("web")["power"] == "running"
        taken(first, "storage", "volume", "add", POOL, "late", "8M")
        second.do("vm", "volume", "add", "web", f"{POOL}/late")
        first.hear("web", lambda line: "disks=vda:48M,vdb:8M" in line)
        second.do("vm", "volume", "remove", "web", f"{POOL}/late")
        first.do("storage", "volume", "remove", POOL, "late", "-y")


def test_a_vm_whose_qemu_crashed_is_removed_with_its_volume(lab: Lab, node: Node, web: str) -> None:
    lab.shell.make_vm("fragile", guest.build().raw, node=node.name)
    with unharmed(lab, node, web):
        lab.shell.do("vm", "start", "fragile")
        node.libvirtd.kill_guest("fragile")
        lab.shell.do("vm", "remove", "fragile", "-y")
        assert images(lab.ceph) == ["web"]
