"""The Debian package: what is in it, and that it comes, is renewed and goes as Debian's own do."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from pvc import __version__, config
from tests.package.debian import Debian

REPOSITORY = Path(__file__).parents[2]
UNITS = ("pvc-server.service", "pvc-agent.service")

pytestmark = pytest.mark.real


@pytest.fixture(scope="module")
def package() -> Path:
    made = REPOSITORY / "dist" / f"pvc_{__version__}_amd64.deb"
    if not made.exists():
        pytest.fail(f'There is no "{made}": run "make deb".')
    return made


@pytest.fixture(scope="module")
def newer(package: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same package as a later version, whose default configuration has changed."""
    folder = tmp_path_factory.mktemp("newer")
    subprocess.run(["dpkg-deb", "--raw-extract", package, folder / "tree"], check=True)
    control = folder / "tree" / "DEBIAN" / "control"
    control.write_text(control.read_text().replace(f"Version: {__version__}", "Version: 99"))
    with (folder / "tree" / "etc" / "pvc" / "pvc.toml").open("a") as file:
        file.write("# new in 99\n")
    subprocess.run(["dpkg-deb", "--build", "-Znone", folder / "tree", folder / "pvc.deb"], check=True)
    return folder / "pvc.deb"


@pytest.fixture
def debian(tmp_path: Path) -> Debian:
    root = tmp_path / "debian"
    root.mkdir()
    return Debian(root)


def test_it_comes_is_renewed_and_goes(debian: Debian, package: Path, newer: Path) -> None:
    debian("dpkg", "--install", debian.take(package))
    _is_all_there(debian)

    settings = debian.root / "etc" / "pvc" / "pvc.toml"
    settings.write_text('log_level = "debug"\n')
    _enable(debian)
    debian("dpkg", "--force-confold", "--install", debian.take(newer))
    assert config.parse(settings.read_text()).log_level == "debug"
    assert _enabled(debian)
    assert debian("pvc", "--version") == f"pvc {__version__}\n"

    volume = debian.root / "var" / "lib" / "pvc" / "pools" / "local" / "web1.raw"
    volume.parent.mkdir(parents=True)
    volume.write_bytes(b"data")
    debian("dpkg", "--remove", "pvc")
    assert not (debian.root / "usr" / "bin" / "pvc").is_symlink()
    assert settings.exists()
    said = debian("dpkg", "--purge", "pvc")
    assert "The records and disks of VMs are left in /var/lib/pvc." in said
    assert volume.read_bytes() == b"data"
    assert not settings.parent.exists()
    assert not _enabled(debian)


def _is_all_there(debian: Debian) -> None:
    assert debian("dpkg", "--verify", "pvc") == ""
    assert debian("pvc", "--version") == f"pvc {__version__}\n"
    assert "usage: pvc" in debian("pvc", "--help")
    assert config.parse(debian("pvc", "serve", "--show-config")) == config.Config()
    assert not _enabled(debian)
    assert debian("systemd-analyze", "verify", "--man=no", *UNITS) == ""
    for link in (
        "docs/commands.md",
        "docs/disaster-recovery.md",
        "docs/design/015-who-may-speak.md",
        "packaging/grafana/pvc.json",
    ):
        assert (debian.root / "usr" / "share" / "doc" / "pvc" / link).exists()
    for file in ("man/man1/pvc-vm.1.gz", "bash-completion/completions/pvc", "zsh/vendor-completions/_pvc"):
        assert (debian.root / "usr" / "share" / file).exists()
    found = json.loads(debian.says("pvc", "doctor", "serve", "--format", "json"))
    missing = {finding["check"]: finding["mend"] for finding in found if finding["verdict"] == "wrong"}
    assert missing["bwrap"] == "apt-get install bubblewrap"
    assert missing["libvirt"] == "apt-get install libvirt-daemon-system"


def _enable(debian: Debian) -> None:
    debian("systemctl", "enable", *UNITS)


def _enabled(debian: Debian) -> bool:
    return all((debian.root / f"etc/systemd/system/multi-user.target.wants/{unit}").is_symlink() for unit in UNITS)


def test_two_builds_are_the_same_bytes(package: Path) -> None:
    before = package.read_bytes()
    subprocess.run([REPOSITORY / "packaging" / "deb"], check=True, capture_output=True)
    assert package.read_bytes() == before
