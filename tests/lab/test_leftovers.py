"""However a lab ends, nothing of it is left: no process, no namespace, no mount, no device, no folder."""

from __future__ import annotations

import os
import select
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from tests.lab.lab import Lab
from tests.machine.shell import Shell
from tests.parts.readiness import NotReady

pytestmark = [pytest.mark.real, pytest.mark.lab, pytest.mark.timeout(180)]

KINDS = ("pid", "net", "mnt", "uts")


def namespaces(pid: int) -> set[str]:
    """Those of a process; none when it is gone."""
    with suppress(OSError):
        return {os.readlink(f"/proc/{pid}/ns/{kind}") for kind in KINDS}
    return set()


def everybody() -> list[int]:
    return [int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()]


class Traces:
    """What shows that a lab was here. init: its process 1."""

    def __init__(self, folder: Path, init: int) -> None:
        self.folder = folder
        own, home = os.readlink(f"/proc/{init}/ns/pid"), namespaces(os.getpid())
        self.namespaces = set().union(*(found for pid in everybody() if own in (found := namespaces(pid)))) - home

    def left(self) -> list[str]:
        """Nothing when all is gone, besides a note of what this machine had before."""
        found = [str(pid) for pid in everybody() if namespaces(pid) & self.namespaces]
        found += [line for line in mounts() if str(self.folder) in line]
        return found + ([str(self.folder)] if self.folder.exists() else [])


def mounts() -> list[str]:
    return Path("/proc/self/mountinfo").read_text().splitlines()


def devices() -> set[str]:
    return {path.name for path in Path("/sys/class/net").iterdir()}


def test_a_lab_that_cannot_come_up_is_gone_and_says_why() -> None:
    before = devices()
    lab = Lab(["false"])
    traces = Traces(lab.folder, lab.enclosure.pid(1))
    assert len(traces.namespaces) > 10
    with pytest.raises(NotReady, match="ended with 1") as caught, lab:
        pass
    assert "The end of" in "".join(caught.value.__notes__)
    assert traces.left() == []
    assert devices() == before


COMMAND = (sys.executable, "-m", "tests.lab")


@pytest.mark.parametrize("awaited", ["ceph/osd", "hv3/told.log"])
def test_a_driver_killed_half_way_leaves_nothing(tmp_path: Path, awaited: str) -> None:
    link = tmp_path / "lab"
    with subprocess.Popen([*COMMAND, "up", "--link", str(link)], stdout=subprocess.PIPE, text=True) as driver:
        folder = Path(str(driver.stdout and driver.stdout.readline()).split()[5].rstrip(";"))
        assert link.resolve() == folder
        init = init_of(folder)
        while not (folder / awaited).exists():
            assert driver.poll() is None
            time.sleep(0.01)
        traces = Traces(folder, init)
        assert len(traces.namespaces) > 10
        gone = os.pidfd_open(parent_of(init))
        driver.kill()
    select.select([gone], [], [])
    os.close(gone)
    assert traces.left() == []
    subprocess.run([*COMMAND, "down", "--link", str(link)], check=True)
    assert list(tmp_path.iterdir()) == []


def parent_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def init_of(folder: Path) -> int:
    """The process 1 of the lab in that folder."""
    for pid in everybody():
        with suppress(OSError):
            words = Path(f"/proc/{pid}/cmdline").read_text().split("\0")
            if str(folder) in words and words[0] == sys.executable:
                return pid
    raise AssertionError(f"Nothing runs in {folder}.")


def test_a_lab_outlives_its_driver_until_it_is_taken_down(tmp_path: Path) -> None:
    link = tmp_path / "lab"
    said = subprocess.run([*COMMAND, "up", "--link", str(link)], check=True, capture_output=True, text=True).stdout
    folder = link.resolve()
    traces = Traces(folder, init_of(folder))
    [url] = [line.partition("=")[2] for line in said.splitlines() if "export PVC_URL=" in line]
    assert [node["name"] for node in Shell(url).ask("node", "list")] == ["hv1", "hv2", "hv3"]
    entered = subprocess.run([link / "enter", "hv2", "hostname"], check=True, capture_output=True, text=True)
    assert entered.stdout == "hv2\n"
    again = subprocess.run([*COMMAND, "up", "--link", str(link)], capture_output=True, text=True)
    assert (again.returncode, "up already" in again.stderr) == (1, True)
    subprocess.run([*COMMAND, "down", "--link", str(link)], check=True)
    assert traces.left() == []
    assert list(tmp_path.iterdir()) == []
