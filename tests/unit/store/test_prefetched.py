"""What was read in one go is told as the store would tell it; what was not asked for is never taken for missing."""

from __future__ import annotations

import pytest

from pvc.errors import NotFound
from pvc.store.base import Entry
from pvc.store.prefetched import Prefetched

ONE = Entry(b"1", 0)


async def test_what_was_not_there_is_not_found() -> None:
    read = Prefetched({"/vms/a": ONE, "/vms/b": None}, {})
    assert await read.get("/vms/a") is ONE
    assert await read.get_many(["/vms/b", "/vms/a"]) == [None, ONE]
    with pytest.raises(NotFound) as exc:
        await read.get("/vms/b")
    assert exc.value.fields == {"kind": "record", "name": "/vms/b"}


async def test_what_was_not_asked_for_is_a_mistake() -> None:
    read = Prefetched({"/vms/a": ONE, "/nodes/hv1": ONE}, {"/nodes": ["hv1"]})
    for asking in (read.get("/vms/b"), read.get_many(["/vms/a", "/vms/b"]), read.get("/nodes"), read.get("/nodes2/a")):
        with pytest.raises(KeyError):
            await asking
    with pytest.raises(KeyError):
        await read.children("/vms")


async def test_a_folder_has_its_names_sorted_and_nothing_else_is_below_it() -> None:
    read = Prefetched({"/nodes/hv2": ONE, "/nodes/hv1": ONE}, {"/nodes": {"hv2", "hv1"}})
    assert await read.children("/nodes") == ["hv1", "hv2"]
    assert await read.get_many(["/nodes/hv9", "/nodes/hv9/alive"]) == [None, None]
