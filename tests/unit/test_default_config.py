"""The configuration file of the Debian package: every option, its default, and what it means."""

from __future__ import annotations

import re
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest

from pvc import config
from pvc.cephconfig import RBDPool
from pvc.config import AnyPool, Config, DirectoryPool

PROGRAM = Path(__file__).parents[2] / "packaging" / "default_config.py"
OPTION = re.compile(r"#(?=[a-z0-9_]+ = |\[pools)")


@pytest.fixture(scope="module")
def text() -> str:
    return subprocess.run([sys.executable, PROGRAM], capture_output=True, text=True, check=True).stdout


def test_as_it_is_it_changes_nothing(text: str) -> None:
    assert config.parse(text) == Config()


def test_it_has_every_option_with_its_default(text: str) -> None:
    pools: dict[str, AnyPool] = {
        "local": DirectoryPool(path="/var/lib/pvc/pools/local"),
        "vms": RBDPool(pool="vms"),
    }
    everything = "\n".join(OPTION.sub("", line) for line in text.splitlines())
    assert config.parse(everything) == Config(pools=pools)
    named = re.findall(r"^([a-z0-9_]+) = ", everything, re.MULTILINE)
    assert sorted(named) == sorted(re.findall(r"^([a-z0-9_]+) = ", config.show(Config(pools=pools)), re.MULTILINE))


def test_every_option_is_explained_alone_or_with_the_one_before_it(text: str) -> None:
    lines = text.splitlines()
    bare = [line for above, line in pairwise(lines) if OPTION.match(line) and not above.startswith("#")]
    assert [line for line in bare if not line.startswith("#[")] == []
    first = [line for above, line in pairwise(lines) if OPTION.match(line) and above.startswith(("[", "#["))]
    assert first == []
