"""A fuzzer that knows the API from its own description sends what nobody would: never a bug, always the one form."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.machine.shell import Shell
from tests.parts import documents
from tests.parts.libvirtd import Libvirtd
from tests.parts.serve import Serve

pytestmark = pytest.mark.real

_CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_schema_conformance",
    "ignored_auth",
)
_CONFIG = Path(__file__).with_name("fuzz.toml")


@pytest.fixture(scope="module")
def address() -> str:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return f"127.0.0.1:{server.getsockname()[1]}"


@pytest.fixture(scope="module")
def serve(libvirtd: Libvirtd, folder: Path, address: str) -> Iterator[Serve]:
    with Serve(folder, libvirtd.uri, listen=address) as serve:
        yield serve
        for name in libvirtd.guests():
            libvirtd.kill_guest(name)


@pytest.fixture(scope="module")
def token(serve: Serve) -> str:
    """Of an administrator of a machine that has something of each kind."""
    shell = Shell(serve.url)
    shell.do("network", "add", "100", "-d", "lan", "-b", "lo")
    shell.do("storage", "volume", "add", "local", "web1", "4M")
    shell.do("storage", "snapshot", "add", "local", "web1", "first")
    shell.do("vm", "define", "-", stdin=documents.vm("web1", devices=[documents.disk("local/web1")]))
    return shell.do("token", "add", "fuzzer", "-r", "admin").strip()


@pytest.mark.timeout(400)
@pytest.mark.parametrize("existing", [True, False], ids=["names that exist", "any name"])
def test_no_request_finds_a_bug(serve: Serve, address: str, token: str, folder: Path, existing: bool) -> None:
    config = folder / "schemathesis.toml"
    lines = _CONFIG.read_text().splitlines()
    config.write_text("\n".join(line for line in lines if existing or not line.startswith('"path.')))
    line = [str(Path(sys.executable).with_name("schemathesis")), "--config-file", str(config), "run"]
    line += [f"http://{address}/api/v1/openapi.json", "--header", f"X-Api-Key: {token}", "--no-color"]
    line += ["--checks", ",".join(_CHECKS), "--phases", "examples,coverage,fuzzing", "--seed", "1", "-n", "10"]
    line += ["--exclude-method", "DELETE"] if existing else []
    done = subprocess.run(line, capture_output=True, text=True, cwd=folder)
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
    assert "Internal problem" not in serve.log.read_text()
