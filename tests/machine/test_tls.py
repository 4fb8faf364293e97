"""The API over the network with TLS: only who trusts the certificate and has a token gets an answer."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from pvc.outcomes import EXIT
from tests.machine.shell import Said, Shell
from tests.parts.certificates import Authority
from tests.parts.libvirtd import Libvirtd
from tests.parts.ports import free_port
from tests.parts.serve import Serve

pytestmark = pytest.mark.real


@dataclass(frozen=True, slots=True)
class Site:
    port: int
    ca: Path
    stranger: Path
    token: Path

    def list_vms(self, scheme: str = "https", host: str = "127.0.0.1", ca: Path | None = None) -> Said:
        shell = Shell(f"{scheme}://{host}:{self.port}")
        shell.environment["PVC_TOKEN_FILE"] = str(self.token)
        return shell.run("--ca", str(ca or self.ca), "vm", "list")


@pytest.fixture(scope="module")
def site(folder: Path, libvirtd: Libvirtd) -> Iterator[Site]:
    (folder / "other").mkdir()
    trusted, stranger = Authority(folder), Authority(folder / "other", "Somebody else")
    shown, port, token = trusted.sign("serve", "IP:127.0.0.1"), free_port(), folder / "token"
    with Serve(folder, libvirtd.uri, listen=f"127.0.0.1:{port}") as serve:
        serve.stop()
        told = f'[api]\ntls_certificate = "{shown}"\ntls_key = "{shown}"'
        serve.config.write_text(serve.config.read_text().replace("[api]", told))
        serve.start()
        token.write_text(Shell(serve.url).do("token", "add", "reader", "--role", "read"))
        token.chmod(0o600)
        yield Site(port, trusted.certificate, stranger.certificate, token)


def test_who_trusts_the_certificate_and_has_a_token_is_answered(site: Site) -> None:
    assert (site.list_vms().code, site.list_vms().err) == (0, "")


def test_a_certificate_of_somebody_else_gets_no_token(site: Site) -> None:
    said = site.list_vms(ca=site.stranger)
    assert (said.code, "certificate" in said.err) == (EXIT["unreachable"], True), said.err


def test_a_name_that_the_certificate_lacks_gets_no_token(site: Site) -> None:
    assert site.list_vms(host="localhost").code == EXIT["unreachable"]


def test_nothing_is_answered_in_the_clear(site: Site) -> None:
    with socket.create_connection(("127.0.0.1", site.port), timeout=30) as plain:
        plain.sendall(b"GET /api/v1/vm HTTP/1.1\r\nHost: x\r\n\r\n")
        assert not plain.recv(1000).startswith(b"HTTP")
    assert site.list_vms(scheme="http").code == EXIT["unreachable"]
