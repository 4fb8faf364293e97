"""Settings of a VM that its XML does not have: where it may run, and how it moves."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from pvc.cluster.state import State
from pvc.errors import Changed
from pvc.model.records import VM


async def change(state: State, vm_name: str, settings: dict[str, Any]) -> VM:
    """Set these fields of the record, no other. Tries again when another request came between."""
    while True:
        held = await state.find_vm(vm_name)
        new = replace(held.record, **settings)
        try:
            await state.write_vm(held, new)
        except Changed:
            continue
        return new
