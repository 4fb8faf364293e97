"""Consoles and node logs in a cluster: through any server, from the node that has them, whatever becomes of it."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from kazoo.client import KazooClient

from tests.machine.member import member
from tests.machine.shell import PROGRAM, Shell
from tests.parts.ports import free_port
from tests.parts.serve import PVC
from tests.parts.zookeeper import ZooKeeper

pytestmark = [pytest.mark.real, pytest.mark.timeout(300)]

CONFIG = """\
[api]
socket = "{folder}/{name}.sock"
[store]
kind = "zookeeper"
hosts = ["{zookeeper}"]
session_timeout_s = 20.0
user = "pvc"
password_file = "{folder}/password"
[pools.local]
path = "{folder}/pool"
[hypervisor]
uri = "qemu+unix:///system?socket={folder}/none"
console_path = "{folder}/consoles"
[agent]
node = "hv1"
listen = "127.0.0.1:{port}"
socket = "{folder}/agent.sock"
log_path = "{folder}/agent.log"
"""

DOMAIN = "<domain><name>web1</name><memory unit='MiB'>64</memory><vcpu>1</vcpu></domain>"


@dataclass(frozen=True, slots=True)
class Stage:
    folder: Path
    zookeeper: ZooKeeper
    agent: PVC
    servers: list[PVC]
    shells: list[Shell]

    @property
    def console(self) -> Path:
        return self.folder / "consoles" / f"{self.shells[0].vm('web1')['uuid']}.log"


@pytest.fixture(scope="module")
def stage(folder: Path) -> Iterator[Stage]:
    """One node without a libvirt, which none of this needs, and two servers."""
    (folder / "password").write_text("opens-the-store")
    (folder / "password").chmod(0o600)
    with ZooKeeper() as zookeeper:
        names, port = ("agent", "one", "two"), free_port()
        configs = {
            name: CONFIG.format(folder=folder, name=name, zookeeper=zookeeper.address, port=port) for name in names
        }
        with (
            member("agent", folder, "agent", configs["agent"]) as agent,
            member("serve", folder, "one", configs["one"]) as one,
            member("serve", folder, "two", configs["two"]) as two,
        ):
            shells = [Shell(f"unix:{folder}/{name}.sock") for name in ("one", "two")]
            shells[0].do("vm", "define", "-", "-t", "hv1", stdin=DOMAIN)
            yield Stage(folder, zookeeper, agent, [one, two], shells)


def test_every_server_shows_the_log_of_the_node_and_the_console_of_its_guest(stage: Stage) -> None:
    stage.console.write_text("one\ntwo\nthree\n")
    for shell in stage.shells:
        assert 'INFO pvc.agent: Node "hv1" joined\n' in shell.do("node", "log", "hv1")
        assert shell.do("vm", "log", "web1", "-l", "2") == "two\nthree\n"
        assert shell.do("node", "log", "hv1", "-l", "0") == ""
        with shell.following("web1", past=1) as lines:
            assert next(lines) == "three\n"


def test_what_was_read_is_not_in_the_store(stage: Stage) -> None:
    stage.console.write_text("what a guest said\n")
    for shell in stage.shells:
        assert shell.do("vm", "log", "web1") == "what a guest said\n"
    client = KazooClient(stage.zookeeper.address, 10.0, auth_data=[("digest", "pvc:opens-the-store")])
    client.start()
    try:
        left, found = ["/pvc"], []
        while left:
            path = left.pop()
            found.append(client.get(path)[0])
            left += [f"{path}/{name}" for name in client.get_children(path)]
    finally:
        client.stop()
        client.close()
    assert any(b"web1" in record for record in found)
    assert not any(b"what a guest said" in record or b"joined" in record for record in found)


def test_the_cluster_s_key_is_in_no_log(stage: Stage) -> None:
    client = KazooClient(stage.zookeeper.address, 10.0, auth_data=[("digest", "pvc:opens-the-store")])
    client.start()
    try:
        key = client.get("/pvc/peer-key")[0]
    finally:
        client.stop()
        client.close()
    files = [path for path in stage.folder.rglob("*") if path.is_file()]
    assert stage.folder / "agent.log" in files
    assert [path for path in files if key in path.read_bytes()] == []


def peak_kib(daemon: PVC) -> int:
    lines = Path(f"/proc/{daemon.pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))


def test_a_reader_that_is_slower_than_the_log_costs_no_memory(stage: Stage) -> None:
    size, line = 200 << 20, b"x" * 1023 + b"\n"
    stage.console.write_bytes(b"began\n")
    before = [peak_kib(daemon) for daemon in (stage.agent, stage.servers[0])]
    command = [*PROGRAM, "vm", "log", "web1", "-f", "-l", "1"]
    with subprocess.Popen(command, env=stage.shells[0].environment, stdout=subprocess.PIPE) as reader:
        assert reader.stdout is not None and reader.stdout.readline() == b"began\n"
        with stage.console.open("ab") as console:
            for _ in range(size >> 20):
                console.write(line * 1024)
        read = 0
        while read < size:
            read += len(reader.stdout.read(4096))
        reader.terminate()
    after = [peak_kib(daemon) for daemon in (stage.agent, stage.servers[0])]
    assert read == size
    assert [later - sooner < 48 << 10 for sooner, later in zip(before, after, strict=True)] == [True, True]
    stage.console.write_bytes(b"")


def test_an_agent_that_does_not_answer_is_named_in_a_bounded_time(stage: Stage) -> None:
    stage.agent.freeze()
    try:
        said = stage.shells[0].run("node", "log", "hv1")
        followed = stage.shells[1].run("vm", "log", "web1", "-f")
    finally:
        stage.agent.thaw()
    for one in (said, followed):
        assert (one.code, one.err) == (5, 'Node "hv1" is not available: its agent did not answer within 10 s\n')
    stage.shells[0].do("node", "log", "hv1")


def test_an_agent_killed_in_the_middle_of_a_stream_ends_it_with_a_sentence_and_comes_back(stage: Stage) -> None:
    stage.console.write_text("one\n")
    with stage.shells[1].following("web1") as lines:
        assert next(lines) == "one\n"
        stage.agent.kill()
        assert list(lines) == ["\n", 'Node "hv1" does not answer any more; what follows is not shown.\n']
    said = stage.shells[0].run("node", "log", "hv1")
    assert (said.code, said.err) == (
        5,
        'Node "hv1" is not available: its agent cannot be reached: Connection refused\n',
    )
    stage.agent.start()
    assert 'Node "hv1" joined' in stage.shells[0].do("node", "log", "hv1")
