"""What is true of the one file alone."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from PyInstaller.archive.readers import CArchiveReader  # type: ignore[import-untyped]

from pvc import config
from tests.unit.cli.calling import PVC
from tests.unit.cli.test_terminal import editor, on_terminal

NEEDED = [
    "libvirtmod",
    "libvirtmod_qemu",
    "lxml/etree",
    "msgspec/_core",
    "aiohttp/_http_parser",
    "aiohttp/_http_writer",
    "multidict/_multidict",
    "yarl/_quoting_c",
]
PURE = ["libvirt", "libvirtaio", "libvirt_qemu", "asyncinotify", "kazoo.client", "pvc.daemon", "sqlite3"]
PURE += ["pvc.cluster.sealing", "cryptography.hazmat.primitives.kdf.scrypt"]


@pytest.fixture(scope="session")
def archive(pvc_command: list[str]) -> CArchiveReader:
    return CArchiveReader(pvc_command[0])


@pytest.mark.parametrize("name", NEEDED)
def test_extension_modules_are_inside(archive: CArchiveReader, name: str) -> None:
    assert any(entry.startswith(f"{name}.cpython-") for entry in archive.toc)


def test_what_locks_the_secrets_of_backups_is_inside(archive: CArchiveReader) -> None:
    """For any Python from some version on, and so without one in its name."""
    assert "cryptography/hazmat/bindings/_rust.abi3.so" in archive.toc


@pytest.mark.parametrize("name", PURE)
def test_modules_are_inside(archive: CArchiveReader, name: str) -> None:
    assert name in archive.open_embedded_archive("PYZ.pyz").toc


def test_no_library_of_the_host_is_inside(archive: CArchiveReader) -> None:
    files = (os.path.basename(entry) for entry in archive.toc)
    libraries = {name.partition(".")[0] for name in files if re.match(r"lib.*\.so", name) and "cpython" not in name}
    assert libraries == {"libpython3", "libexpat", "libffi"}


def test_serve_shows_its_configuration_which_reads_back(pvc: PVC, tmp_path: Path) -> None:
    (tmp_path / "pvc.toml").write_text('log_level = "debug"\n')
    result = pvc("serve", "--show-config", environment={"PVC_CONFIG": str(tmp_path / "pvc.toml")})
    assert (result.returncode, result.stderr) == (0, "")
    assert config.parse(result.stdout) == config.Config(log_level="debug")


@pytest.mark.parametrize("given", [None, "/opt/lib"])
def test_children_get_the_library_path_that_pvc_was_started_with(pvc: PVC, tmp_path: Path, given: str | None) -> None:
    environment = editor(tmp_path, f'echo "[${{LD_LIBRARY_PATH-unset}}]" > {tmp_path}/seen')
    on_terminal(pvc, "vm", "modify", "web1", environment=environment | ({"LD_LIBRARY_PATH": given} if given else {}))
    assert (tmp_path / "seen").read_text() == f"[{given or os.environ.get('LD_LIBRARY_PATH', 'unset')}]\n"


def test_nothing_is_left_in_the_temporary_folder(pvc: PVC, tmp_path: Path) -> None:
    assert pvc("vm", "list", environment={"TMPDIR": str(tmp_path)}).returncode == 0
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith("_MEI")] == []
