"""Which room may import which: read from the syntax tree, so imports inside functions count too."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

PVC = Path(__file__).parents[2] / "pvc"

LEAVES = frozenset(
    {
        "addresses",
        "errors",
        "config",
        "cephconfig",
        "units",
        "environment",
        "outcomes",
        "localsocket",
        "supervision",
        "tcp",
        "toml",
    }
)

# What each room may import of pvc besides itself, by dotted prefix. server and agent meet in the store only.
ROOMS: dict[str, frozenset[str]] = {
    **dict.fromkeys(LEAVES, LEAVES),
    "model": frozenset({"errors", "units"}),
    "store": LEAVES | {"model"},
    "storage": LEAVES | {"model"},
    "hypervisor": LEAVES | {"model", "storage.base"},
    "images": LEAVES | {"model", "storage"},
    "cluster": LEAVES | {"model", "store", "storage.base"},
    "server": LEAVES | {"model", "store", "cluster", "storage", "images"},
    "agent": LEAVES | {"model", "store", "cluster", "storage", "images", "hypervisor"},
    "doctor": LEAVES | {"model", "store", "storage", "hypervisor"},
    "cli": frozenset({"errors", "outcomes", "units", "environment", "model.names"}),
    "daemon": LEAVES | {"model", "store", "cluster", "storage", "images", "hypervisor", "server", "agent"},
    "__main__": LEAVES | {"cli", "daemon", "server", "agent"},
    "__init__": frozenset(),
}

# What single modules may know of besides: the doctor is loaded when daemons are asked about, and by nobody else.
BESIDES: dict[str, frozenset[str]] = {"cli/commands/doctor.py": frozenset({"doctor"})}

# Who may import what lies outside pvc; a name that is not here is free.
ONLY_IN: dict[str, tuple[str, ...]] = {
    "kazoo": ("store/zookeeper.py", "store/connecting.py"),
    "sqlite3": ("store/embedded.py",),
    "libvirt": ("hypervisor/libvirt.py",),
    "libvirt_qemu": ("hypervisor/libvirt.py",),
    "libvirtaio": ("hypervisor/libvirt.py",),
    "rados": ("storage/ceph.py",),
    "rbd": ("storage/ceph.py",),
    "aiohttp": ("server/", "agent/"),
    "cryptography": ("cluster/sealing.py",),
}

# The model neither reads, waits, looks at a clock nor draws lots; so it needs little.
MODEL_MAY = frozenset(
    {
        *("__future__", "collections", "dataclasses", "enum", "functools", "itertools", "typing"),
        *("difflib", "hashlib", "ipaddress", "json", "math", "operator", "re", "string", "uuid.UUID"),
        *("lxml", "msgspec"),
    }
)


@dataclass(frozen=True, slots=True)
class Import:
    """name: dotted; of `from a import b` it is "a.b"."""

    file: str
    line: int
    name: str

    @property
    def room(self) -> str:
        return self.file.partition("/")[0].removesuffix(".py")

    @property
    def top(self) -> str:
        return self.name.partition(".")[0]


def violations(root: Path) -> list[str]:
    return [
        f"{found.file}:{found.line} imports {found.name}: {problem}"
        for path in sorted(root.rglob("*.py"))
        for found in imports(path, root)
        if (problem := problem_with(found))
    ]


def problem_with(found: Import) -> str | None:
    if found.top == "importlib" or found.name == "__import__":
        return "imports by name are invisible to this test"
    if found.top == "pvc":
        return _inside(found)
    if found.top in ONLY_IN and not found.file.startswith(ONLY_IN[found.top]):
        return f"only {' and '.join(ONLY_IN[found.top])} may"
    if found.room == "model" and not _is_among(found.name, MODEL_MAY):
        return "the model is pure"
    if found.room == "cli" and found.top not in sys.stdlib_module_names:
        return "the shell client starts fast: standard library only"
    return None


def _inside(found: Import) -> str | None:
    if found.room not in ROOMS:
        return f'the room "{found.room}" is not in the table'
    allowed = ROOMS[found.room] | BESIDES.get(found.file, frozenset()) | {found.room, "__version__"}
    target = found.name.removeprefix("pvc.")
    return None if _is_among(target, allowed) else f'"{found.room}" may not know of it'


def _is_among(name: str, prefixes: Iterable[str]) -> bool:
    return any(name == prefix or name.startswith(f"{prefix}.") for prefix in prefixes)


def imports(path: Path, root: Path) -> Iterator[Import]:
    file = path.relative_to(root).as_posix()
    package = ["pvc", *Path(file).parent.parts]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import | ast.ImportFrom | ast.Name):
            yield from (Import(file, node.lineno, name) for name in _names(node, package))


def _names(node: ast.Import | ast.ImportFrom | ast.Name, package: list[str]) -> list[str]:
    """A relative import is told in full."""
    match node:
        case ast.Import(names=names):
            return [alias.name for alias in names]
        case ast.ImportFrom(module=module, names=names, level=level):
            above = package[: len(package) - level + 1] if level else []
            return [".".join([*above, *([module] if module else []), alias.name]) for alias in names]
        case ast.Name(id="__import__"):
            return ["__import__"]
        case _:
            return []


def test_every_import_goes_an_allowed_way() -> None:
    assert violations(PVC) == []


@pytest.mark.parametrize(
    ("file", "source"),
    [
        ("server/vms.py", "import libvirt"),
        ("server/vms.py", "def late():\n    from pvc.agent import reconcile"),
        ("server/vms.py", "from ..agent.reconcile import Reconciler"),
        ("server/vms.py", "from pvc import agent"),
        ("agent/reconcile.py", "import pvc.server.app"),
        ("agent/reconcile.py", "import importlib"),
        ("cluster/vms.py", "__import__('kazoo')"),
        ("cluster/vms.py", "from pvc.storage.directory import DirectoryPool"),
        ("cluster/vms.py", "from aiohttp import web"),
        ("server/recovery.py", "from cryptography.fernet import Fernet"),
        ("model/states.py", "import time"),
        ("model/states.py", "from asyncio import Event"),
        ("model/states.py", "from pvc.config import Config"),
        ("store/mirror.py", "from kazoo.client import KazooClient"),
        ("store/zookeeper.py", "import sqlite3"),
        ("cli/client.py", "import msgspec"),
        ("cli/client.py", "from pvc.model.records import VM"),
        ("cli/client.py", "from pvc.config import load"),
        ("cli/client.py", "from pvc.doctor.main import examine"),
        ("units.py", "from pvc.model import names"),
        ("newroom/thing.py", "from pvc import store"),
    ],
)
def test_a_planted_import_is_caught(tmp_path: Path, file: str, source: str) -> None:
    planted = tmp_path / file
    planted.parent.mkdir(exist_ok=True)
    planted.write_text(source)
    found = violations(tmp_path)
    assert len(found) == 1 and found[0].startswith(f"{file}:")


@pytest.mark.parametrize(
    ("file", "source"),
    [
        ("store/zookeeper.py", "from kazoo.client import KazooClient"),
        ("cli/commands/vm_start.py", "from pvc.model import names\nfrom pvc.units import parse_size"),
        ("daemon.py", "from pvc.agent import main\nfrom pvc.server import app"),
        ("agent/peer.py", "from aiohttp import web"),
    ],
)
def test_what_is_allowed_passes(tmp_path: Path, file: str, source: str) -> None:
    planted = tmp_path / file
    planted.parent.mkdir(parents=True, exist_ok=True)
    planted.write_text(source)
    assert violations(tmp_path) == []
