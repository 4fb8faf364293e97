"""Guests go encrypted from node to node, or do not go."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from contextlib import AbstractContextManager

import pytest

from tests import guest
from tests.lab.guests import until
from tests.lab.lab import Lab, Node
from tests.lab.test_migration import NARROW, begun, ended, is_on, let_go, tick, told
from tests.parts.certificates import EC, Authority
from tests.parts.libvirtd import PKI

pytestmark = [pytest.mark.real, pytest.mark.lab, pytest.mark.timeout(240)]


def encrypted(node: Node) -> AbstractContextManager[None]:
    address = node.host.address
    return told(node, f"qemu+tcp://{address}/system", f"qemu+tls://{address}/system?pkipath={PKI}")


@pytest.fixture
def guarded(lab: Lab) -> Iterator[str]:
    """The UUID of "web", which runs on hv1; hv2 takes guests in encrypted, and what leaves hv1 waits to be let go."""
    lab.shell.make_vm("web", guest.build().qcow2, node="hv1")
    lab.shell.do("vm", "start", "web")
    lab.shell.hear("web", lambda line: tick(line) >= 1)
    with encrypted(lab.nodes["hv2"]), told(lab.nodes["hv1"], "", NARROW):
        yield str(lab.shell.vm("web")["uuid"])


def said(node: Node, text: str) -> bool:
    """The agent's log, which is of all its starts."""
    return text in node.agent.log.read_text()


def test_both_libvirt_and_qemu_encrypt(lab: Lab, guarded: str) -> None:
    until(lambda: said(lab.nodes["hv2"], "encrypted by libvirt's TLS and QEMU's"))
    until(lambda: said(lab.nodes["hv1"], '10.99.0.1/system", in the clear'))
    task = begun(lab, "--force-live")
    asked = json.dumps({"execute": "query-migrate-parameters"})
    words = ["virsh", "--connect", lab.nodes["hv1"].libvirtd.uri, "qemu-monitor-command", guarded, asked]
    answer = subprocess.run(words, check=True, capture_output=True, text=True, timeout=60).stdout
    parameters = json.loads(answer)["return"]
    assert (bool(parameters["tls-creds"]), parameters["tls-hostname"]) == (True, lab.nodes["hv2"].host.address)
    let_go(lab, guarded)
    assert ended(lab, task)["status"] == "done"
    is_on(lab, "hv2", guarded)


def test_a_target_without_its_key_is_refused_before_anything_happens(lab: Lab, guarded: str) -> None:
    target = lab.nodes["hv2"]
    key = target.libvirtd.pki / "server-key.pem"
    kept = key.read_bytes()
    key.unlink()
    try:
        refused = lab.shell.run("vm", "migrate", "web", "-t", "hv2")
        assert (refused.code, 'server-key.pem" is not there' in refused.err) == (4, True), refused
        target.agent.restart()
        until(lambda: said(target, "cannot move guests encrypted"))
    finally:
        key.write_bytes(kept)
    is_on(lab, "hv1", guarded)


def test_a_source_without_its_key_is_refused_before_anything_happens(lab: Lab, guarded: str) -> None:
    source = lab.nodes["hv1"]
    key = source.libvirtd.pki / "client-key.pem"
    kept = key.read_bytes()
    key.unlink()
    try:
        refused = lab.shell.run("vm", "migrate", "web", "-t", "hv2")
        assert (refused.code, 'client-key.pem" is not there' in refused.err) == (4, True), refused
        source.agent.restart()
        asked = lab.shell.run("vm", "migrate", "web", "-t", "hv2")
        assert "takes guests encrypted alone, and the VM's own node cannot move guests encrypted" in asked.err, asked
    finally:
        key.write_bytes(kept)
    is_on(lab, "hv1", guarded)


def test_a_source_whose_certificate_is_of_somebody_else_is_not_let_in(lab: Lab, guarded: str) -> None:
    source = lab.nodes["hv1"]
    folder = lab.folder / "stranger"
    folder.mkdir(exist_ok=True)
    strange = Authority(folder, new=EC).sign("stranger", f"IP:{source.host.address}")
    files = {"clientcert.pem": strange, "clientkey.pem": strange.with_suffix(".key")}
    kept = {name: (source.libvirtd.pki / name).read_bytes() for name in files}
    try:
        for name, file in files.items():
            (source.libvirtd.pki / name).write_bytes(file.read_bytes())
        refused = lab.shell.run("vm", "migrate", "web", "-t", "hv2", "--force-live")
        assert (refused.code, "certificate" in refused.err.lower()) == (7, True), refused
    finally:
        for name, content in kept.items():
            (source.libvirtd.pki / name).write_bytes(content)
    is_on(lab, "hv1", guarded)
