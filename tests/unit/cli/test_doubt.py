"""What a node said of a VM, and cannot say again now."""

from __future__ import annotations

import pytest

from pvc.cli.commands.vm_list import COLUMNS


@pytest.mark.parametrize(("vm", "word"), [({"doubt": ""}, "start"), ({}, "start"), ({"doubt": "Gone."}, "start?")])
def test_the_state_of_a_vm_in_doubt_is_marked_in_the_list(vm: dict[str, str], word: str) -> None:
    shown = dict(COLUMNS)["STATE"]
    assert callable(shown)
    assert shown({"state": "start", **vm}) == word
