"""Every path of the store is accounted for in docs/disaster-recovery.md: a new kind of record cannot be forgotten."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from pathlib import Path

from pvc.cluster import backing
from pvc.store import paths
from pvc.store.paths import BASE, Paths

PAGE = Path(__file__).parents[3] / "docs" / "disaster-recovery.md"
ROW = re.compile(r"\| `(/pvc/[^`]+)` \| (.+?) \|")
IN_THE_BACKUP = "in the backup"
FATES = {IN_THE_BACKUP, "made from the backup", "volatile", "secret, with `--secrets`", "secret, made anew"}
GENERATION = Paths(f"{BASE}/N")


def told() -> dict[str, str]:
    return dict(ROW.findall(PAGE.read_text()))


def every_path() -> Iterator[str]:
    """Of records, with the names of arguments for what differs; not of the folders that only hold them."""
    folders = {*GENERATION.folders, paths.SETTINGS}
    constants = [value for value in vars(paths).values() if isinstance(value, str) and value.startswith(f"{BASE}/")]
    for path in constants:
        if path not in folders:
            yield f"{path}/NAME" if path in (paths.LOCKS, paths.TOKENS) else path
    for name, method in inspect.getmembers(Paths, inspect.isfunction):
        if not name.startswith("_"):
            given = [one.upper() for one in list(inspect.signature(method).parameters)[1:]]
            yield method(GENERATION, *given)


def test_the_page_tells_of_every_path_what_becomes_of_it() -> None:
    assert set(told()) == set(every_path())
    assert set(told().values()) == FATES


def test_a_backup_has_what_the_page_says_that_it_has() -> None:
    """The folders that are collected, and no others."""
    said = {path.rpartition("/")[0] for path, fate in told().items() if fate == IN_THE_BACKUP}
    assert said == set(backing.folders(GENERATION).values())


def test_every_folder_of_a_generation_holds_records_that_are_told_of() -> None:
    assert set(GENERATION.folders) == {"/".join(path.split("/")[:4]) for path in told() if path.startswith("/pvc/N/")}
