"""The command line that runs a program where it sees two images and /usr, and has limits. Pure.

An image that is no file is reached over the network: then, and only then, the program has the network.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

PATH = "/usr/bin:/bin"
SOURCE, TARGET = "/in", "/out"  # what the two files are called inside
_CPU_GRACE_S = 5  # between SIGXCPU and SIGKILL
_STACK_BYTES = 1 << 20  # of each thread; the default of 8 MiB would count against the memory limit
_OPEN_FILES = 256
_NAME_SERVICE = ("/etc/hosts", "/etc/resolv.conf", "/etc/nsswitch.conf")


@dataclass(frozen=True, slots=True)
class Limits:
    """memory: address space; target: length of the target file. Bytes and CPU seconds."""

    memory: int
    cpu_s: int
    target: int


class Image(Protocol):
    """What of a Draft matters here."""

    @property
    def path(self) -> str: ...

    @property
    def files(self) -> Sequence[str]: ...


def inside(image: Image, place: str) -> str:
    """What the program calls the image. place: SOURCE or TARGET."""
    return image.path if image.files else place


def jailed(program: Sequence[str], source: Image, target: Image, limits: Limits) -> list[str]:
    """program: with its arguments; it finds the images by their names `inside`, and cannot change a source file."""
    files = [("--ro-bind", source.path, SOURCE)] if not source.files else []
    files += [("--bind", target.path, TARGET)] if not target.files else []
    binds = [word for bind in files for word in bind]
    return [*_walls(), *_network([*source.files, *target.files]), *binds, "--", *_limited(limits), *program]


def _walls() -> list[str]:
    """No new privileges is bwrap's own doing."""
    return [
        *("bwrap", "--unshare-all", "--unshare-user", "--disable-userns", "--cap-drop", "ALL", "--die-with-parent"),
        *("--clearenv", "--setenv", "PATH", PATH, "--setenv", "LC_ALL", "C", "--setenv", "MALLOC_ARENA_MAX", "2"),
        *("--ro-bind", "/usr", "/usr", "--ro-bind-try", "/etc/ld.so.cache", "/etc/ld.so.cache"),
        *("--symlink", "usr/bin", "/bin", "--symlink", "usr/lib", "/lib", "--symlink", "usr/lib64", "/lib64"),
        *("--dev-bind", "/dev/null", "/dev/null", "--chdir", "/"),
    ]


def _network(files: Sequence[str]) -> list[str]:
    """files: what opening an image over the network takes, found inside where it is outside."""
    if not files:
        return []
    found = dict.fromkeys(files)
    binds = [word for file in found for word in ("--ro-bind", file, file)]
    names = [word for file in _NAME_SERVICE for word in ("--ro-bind-try", file, file)]
    return ["--share-net", *names, *binds]


def _limited(limits: Limits) -> list[str]:
    return [
        "prlimit",
        f"--as={limits.memory}",
        f"--cpu={limits.cpu_s}:{limits.cpu_s + _CPU_GRACE_S}",
        f"--fsize={limits.target}",
        f"--stack={_STACK_BYTES}",
        f"--nofile={_OPEN_FILES}",
        "--core=0",
        "--",
    ]
