"""Ceph, or a server that was writing into it, is lost: content is old or new, and nothing stays behind."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
import rbd

from tests import guest
from tests.lab import faults
from tests.lab.guests import goes_on, refusal, taken, unharmed, until
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


def newest(shell: Shell) -> list[dict[str, Any]]:
    """The two newest uploads."""
    return list(shell.ask("task", "list", "--kind", "upload")[-2:])


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


def test_uploads_whose_server_dies_have_failed_and_leave_nothing(
    lab: Lab, node: Node, web: str, tmp_path: Path
) -> None:
    living, dying = lab.servers
    (tmp_path / "old.raw").write_bytes(OLD)
    for volume in ("raw", "qcow2"):
        living.shell.do("storage", "volume", "add", POOL, volume, "48M")
        living.shell.do("storage", "volume", "upload", POOL, volume, str(tmp_path / "old.raw"))
    with unharmed(lab, node, web):
        with (
            half_uploaded(dying.shell, "raw", guest.build().raw),
            half_uploaded(dying.shell, "qcow2", guest.build().qcow2),
        ):
            until(lambda: all(task["status"] == "running" and task["done"] for task in newest(living.shell)))
            until(lambda: len(images(lab.ceph)) == 6)  # a draft each, and packed clusters aside
            dying.serve.kill()
        until(lambda: all(task["status"] == "failed" for task in newest(living.shell)))
        for task in newest(living.shell):
            assert "ended, or lost the cluster store" in task["problem"]["message"]
        until(lambda: sorted(images(lab.ceph)) == ["qcow2", "raw", "web"])
        assert [beginning(lab.ceph, volume, len(OLD)) == OLD for volume in ("raw", "qcow2")] == [True, True]
        dying.serve.start()
        for volume in ("raw", "qcow2"):
            dying.shell.do("storage", "volume", "remove", POOL, volume, "-y")


def test_a_ceph_that_hangs_is_told_and_afterwards_guests_go_on(lab: Lab, node: Node, web: str) -> None:
    first, second = (server.shell for server in lab.servers)
    with unharmed(lab, node, web):
        for hanging, questions in ((lab.ceph.osd, 2), (lab.ceph.mon, 1)):
            with faults.frozen(hanging):
                for _ in range(questions):  # two last longer than Ceph waits for a dead client
                    said = first.run("storage", "volume", "add", POOL, "late", "8M")
                    assert "Ceph did not answer in time" in refusal(said)
                    assert second.vm("web")["power"] == "running"
            goes_on(node, web)
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
