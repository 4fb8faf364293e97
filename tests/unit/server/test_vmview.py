from __future__ import annotations

from pvc.model.records import VM, Desired, Observed, Power
from pvc.server.vmview import failed_reason


def test_why_a_start_waits_is_told_as_long_as_it_does() -> None:
    vm = VM(uuid="u", name="web1", xml="", node="hv1", desired=Desired.RUNNING)
    waits = Observed(power=Power.OFF, put_off="The pool does not answer.")
    said = "The start is put off and tried again. The pool does not answer."
    assert failed_reason(vm, waits) == said
    assert failed_reason(vm, Observed(power=Power.RUNNING, run=1)) == ""
    stopped = VM(uuid="u", name="web1", xml="", node="hv1", desired=Desired.STOPPED)
    assert failed_reason(stopped, waits) == ""
