"""A clean Debian 12 in a folder, and programs run in it. What debootstrap made of it once is kept in .cache."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path

_REPOSITORY = Path(__file__).parents[2]
_KEPT = _REPOSITORY / ".cache" / "debian" / "bookworm.tar"
# What pvc's package depends on and a minimal Debian lacks; systemd has the programs that look after units.
_BEYOND_MINIMAL = "libssl3,libsqlite3-0,libstdc++6,libuuid1,libexpat1,libffi8,systemd"
_ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C"}


class Debian:
    """`debian("dpkg", "--install", ...)` returns what the program says. root: an empty folder."""

    def __init__(self, root: Path) -> None:
        self.root = root
        if not _KEPT.exists():
            _bootstrap(root.with_name("bootstrap"))
        _run("tar", "--extract", "--file", _KEPT, "--directory", root)

    def __call__(self, *command: str) -> str:
        """It sees no process of this machine, and no service manager runs. Raises CalledProcessError."""
        return _run(*self._inside(command))

    def says(self, *command: str) -> str:
        """What it writes to standard output, whether it ends well or not."""
        return subprocess.run(self._inside(command), capture_output=True, text=True, env=_ENVIRONMENT).stdout

    def _inside(self, command: Sequence[str]) -> list[str | Path]:
        namespaces = ("unshare", "--mount", "--pid", "--ipc", "--uts", "--fork", "--kill-child")
        return [*namespaces, f"--mount-proc={self.root}/proc", "chroot", self.root, *command]

    def take(self, file: Path) -> str:
        """Put `file` into it and return the name that it has there."""
        _run("cp", file, self.root / "tmp")
        return f"/tmp/{file.name}"


def _bootstrap(folder: Path) -> None:
    """Half a Debian is never kept."""
    _KEPT.parent.mkdir(parents=True, exist_ok=True)
    _run("debootstrap", "--variant=minbase", f"--include={_BEYOND_MINIMAL}", "bookworm", folder, *_mirror())
    for unneeded in ("var/cache/apt/archives", "var/lib/apt/lists"):
        _run("rm", "-r", folder / unneeded)
    half = _KEPT.with_suffix(".half")
    _run("tar", "--create", "--file", half, "--directory", folder, ".")
    half.rename(_KEPT)
    _run("rm", "-r", folder)


def _mirror() -> list[str]:
    """Where this machine's own apt gets its packages from; without one debootstrap has its own."""
    targets = ("apt-get", "indextargets", "--format", "$(REPO_URI)")
    return _run(*targets, "Created-By: Packages", "Codename: bookworm", "Component: main").split()[:1]


def _run(*command: str | Path) -> str:
    result = subprocess.run(command, capture_output=True, text=True, env=_ENVIRONMENT, check=False)
    if result.returncode:
        print(result.stdout, result.stderr, sep="\n")  # pytest shows it with the failure
    result.check_returncode()
    return result.stdout + result.stderr
