"""The command line that runs a program where it sees two files and /usr, no network, and has limits. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

PATH = "/usr/bin:/bin"
SOURCE, TARGET = "/in", "/out"  # what the two files are called inside
_CPU_GRACE_S = 5  # between SIGXCPU and SIGKILL
_STACK_BYTES = 1 << 20  # of each thread; the default of 8 MiB would count against the memory limit
_OPEN_FILES = 256


@dataclass(frozen=True, slots=True)
class Limits:
    """memory: address space; target: length of the target file. Bytes and CPU seconds."""

    memory: int
    cpu_s: int
    target: int


def jailed(program: Sequence[str], source: str, target: str, limits: Limits) -> list[str]:
    """program: with its arguments; finds `source`, which it cannot change, as SOURCE, and `target` as TARGET."""
    return [*_walls(), "--ro-bind", source, SOURCE, "--bind", target, TARGET, "--", *_limited(limits), *program]


def _walls() -> list[str]:
    """No new privileges is bwrap's own doing."""
    return [
        *("bwrap", "--unshare-all", "--unshare-user", "--disable-userns", "--cap-drop", "ALL", "--die-with-parent"),
        *("--clearenv", "--setenv", "PATH", PATH, "--setenv", "LC_ALL", "C", "--setenv", "MALLOC_ARENA_MAX", "2"),
        *("--ro-bind", "/usr", "/usr", "--ro-bind-try", "/etc/ld.so.cache", "/etc/ld.so.cache"),
        *("--symlink", "usr/bin", "/bin", "--symlink", "usr/lib", "/lib", "--symlink", "usr/lib64", "/lib64"),
        *("--dev-bind", "/dev/null", "/dev/null", "--chdir", "/"),
    ]


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
