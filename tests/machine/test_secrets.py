"""What must stay secret in a cluster is nowhere to be read: the key of Ceph, and the password of the store."""

from __future__ import annotations

import base64
import os
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
from kazoo.client import KazooClient

from pvc.outcomes import EXIT
from tests import guest
from tests.machine.member import member
from tests.machine.shell import PROGRAM, Shell
from tests.parts.ceph import POOL, USER, Ceph
from tests.parts.libvirtd import Libvirtd
from tests.parts.serve import PVC
from tests.parts.zookeeper import ZooKeeper

pytestmark = [pytest.mark.real, pytest.mark.timeout(300)]

PASSWORD = "opens-the-store-of-this-test"

CONFIG = """\
log_level = "debug"
[api]
socket = "{folder}/pvc.sock"
[store]
kind = "zookeeper"
hosts = ["{zookeeper}"]
user = "pvc"
password_file = "{folder}/password"
[pools.local]
kind = "rbd"
pool = "{pool}"
user = "{user}"
conf = "{ceph.conf}"
keyring = "{ceph.keyring}"
[hypervisor]
uri = "{libvirt}"
console_path = "{folder}/consoles"
[agent]
node = "hv1"
socket = "{folder}/agent.sock"
log_path = "{folder}/agent.log"
"""

DOMAIN = """<domain><name>web1</name><memory unit='MiB'>128</memory><vcpu>1</vcpu><features><acpi/></features>
  <devices><disk type='volume' device='disk'><source pool='local' volume='web1'/><target dev='vda' bus='virtio'/></disk>
  </devices></domain>"""


@dataclass(frozen=True, slots=True)
class Stage:
    folder: Path
    zookeeper: ZooKeeper
    shell: Shell
    agent: PVC
    serve: PVC


@pytest.fixture
def stage(folder: Path, libvirtd: Libvirtd, ceph: Ceph) -> Iterator[Stage]:
    """A cluster of one node, its guest running from Ceph, and everything logged that can be."""
    password = folder / "password"
    password.write_text(PASSWORD)
    password.chmod(0o600)
    with ZooKeeper() as zookeeper:
        config = CONFIG.format(
            folder=folder, zookeeper=zookeeper.address, ceph=ceph, libvirt=libvirtd.uri, pool=POOL, user=USER
        )
        with member("agent", folder, "agent", config) as agent, member("serve", folder, "serve", config) as serve:
            shell = Shell(f"unix:{folder}/pvc.sock")
            yield Stage(folder, zookeeper, shell, agent, serve)
            shell.run(
                "vm", "remove", "web1", "-y"
            )  # in order: of a guest that is killed, Ceph keeps a watch for a while


def arguments_of_all() -> Iterator[bytes]:
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(FileNotFoundError, ProcessLookupError):
            yield (process / "cmdline").read_bytes()


def files_below(*folders: Path) -> Iterator[Path]:
    for folder in folders:
        for path, _, names in os.walk(folder):
            yield from (Path(path) / name for name in names if (Path(path) / name).is_file())


def records_of(server: ZooKeeper) -> Iterator[bytes]:
    client = KazooClient(server.address, 10.0, auth_data=[("digest", f"pvc:{PASSWORD}")])
    client.start()
    try:
        left = ["/pvc"]
        while left:
            path = left.pop()
            yield client.get(path)[0]
            left += [f"{path}/{name}" for name in client.get_children(path)]
    finally:
        client.stop()
        client.close()


def test_the_key_of_ceph_and_the_password_of_the_store_are_nowhere_to_be_read(
    stage: Stage, libvirtd: Libvirtd, ceph: Ceph
) -> None:
    shell = stage.shell
    shell.do("storage", "volume", "add", "local", "web1", "48M")
    shell.do("storage", "volume", "upload", "local", "web1", str(guest.build().raw), "-f", "raw")
    shell.do("vm", "define", "-", stdin=DOMAIN)
    shell.do("vm", "start", "web1")
    shell.hear("web1", lambda line: line.startswith("tick "))

    key = ceph.keys[f"client.{USER}"].encode()
    secrets = {"key": key, "raw key": base64.b64decode(key), "password": PASSWORD.encode()}
    password, keyring = stage.folder / "password", ceph.keyring
    assert key in keyring.read_bytes() and PASSWORD.encode() in password.read_bytes()

    virsh = ["virsh", "-c", libvirtd.uri, "dumpxml", "--security-info", "web1"]
    shown = [*PROGRAM, "serve", "--config", str(stage.serve.config), "--show-config"]
    ours = [stage.agent.pid, stage.serve.pid, libvirtd.guests()["web1"]]
    places = {
        "the domain's XML": [subprocess.run(virsh, capture_output=True, check=True).stdout],
        "the configuration in force": [subprocess.run(shown, capture_output=True, check=True).stdout],
        "the API": [shell.do("vm", "dump", "web1").encode(), shell.do("vm", "info", "web1", "-f", "json").encode()],
        "the argument lists": list(arguments_of_all()),
        "the environments": [Path(f"/proc/{pid}/environ").read_bytes() for pid in ours],
        "the store": list(records_of(stage.zookeeper)),
        **{str(path): [path.read_bytes()] for path in files_below(stage.folder, libvirtd.folder) if path != password},
    }
    assert b"<auth username" in places["the domain's XML"][0]
    assert any(b"qemu-system" in line for line in places["the argument lists"])
    assert any(b"local/web1" in record or b"web1" in record for record in places["the store"])
    assert any(path.endswith("agent/agent.log") for path in places)
    texts = [(place, text) for place, texts in places.items() for text in texts]
    found = [f"{name} in {place}" for place, text in texts for name, secret in secrets.items() if secret in text]
    assert found == []


def test_a_wrong_password_ends_the_start_with_a_sentence(stage: Stage) -> None:
    (stage.folder / "password").write_text("guessed")
    command = [*PROGRAM, "serve", "--config", str(stage.serve.config)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == EXIT["not_permitted"]
    assert done.stderr.splitlines()[-1].startswith('ZooKeeper does not let user "pvc" use "/pvc": ')
    assert "Traceback" not in done.stderr and "guessed" not in done.stderr
