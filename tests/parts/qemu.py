"""Disk images made step by step with qemu-img and qemu-io, and what these say that an image holds."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
from collections.abc import Iterable
from pathlib import Path

from pvc.storage.sparse import extents
from pvc.units import KIB

_BLOCK = 64 * KIB


def build(steps: Iterable[str], **paths: Path) -> None:
    """Steps: "img" with arguments of qemu-img; "io", a path, and commands of qemu-io divided by ";"; "try" is an "io"
    of which any part may fail; "cut", a path, and how many bytes are taken off its end. {name}: the path of that name.
    """
    for step in steps:
        program, rest = step.format_map(paths).split(" ", 1)
        match program:
            case "img":
                subprocess.run(["qemu-img", *shlex.split(rest)], check=True, stdout=subprocess.DEVNULL)
            case "io" | "try":
                _io(*rest.split(" ", 1), check=program == "io")
            case "cut":
                path, length = rest.split()
                os.truncate(path, os.path.getsize(path) - int(length))


def _io(path: str, commands: str, *, check: bool) -> None:
    options = [part for command in commands.split(";") for part in ("-c", command.strip())]
    done = subprocess.run(["qemu-io", "-f", "qcow2", "-d", "unmap", *options, path], capture_output=True, text=True)
    assert not check or done.returncode == 0, done.stdout + done.stderr


def converted(image: Path, raw: Path) -> bool:
    """Whether qemu-img takes the image; `raw` is then what it holds."""
    command = ["qemu-img", "convert", "-f", "qcow2", "-O", "raw", str(image), str(raw)]
    return subprocess.run(command, capture_output=True).returncode == 0


def virtual_size(image: Path) -> int:
    done = subprocess.run(["qemu-img", "info", "--output=json", image], check=True, capture_output=True)
    size: int = json.loads(done.stdout)["virtual-size"]
    return size


def differing(one: Path, other: Path) -> list[int]:
    """Where the two have blocks that are not alike; past its end a file is zeroes."""
    first, second = _blocks(one), _blocks(other)
    return sorted(at for at in first.keys() | second.keys() if first.get(at) != second.get(at))


def _blocks(path: Path) -> dict[int, bytes]:
    """What is not zeroes, by its place."""
    found: dict[int, bytes] = {}
    with path.open("rb") as file:
        for start, end in extents(file.fileno(), path.stat().st_size):
            for at in range(start - start % _BLOCK, end, _BLOCK):
                if block := os.pread(file.fileno(), _BLOCK, at).rstrip(b"\0"):
                    found[at] = block
    return found
