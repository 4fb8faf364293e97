"""Every refusal has a status, an exit code and one sentence."""

from __future__ import annotations

import inspect
import string

import pytest

from pvc import errors
from pvc.cluster.tasks import TaskProblem
from pvc.errors import PVCError
from pvc.outcomes import EXIT, OUTCOMES, STATUS
from pvc.server.errors import refused, status_of

# One of each, with fields as they come. The second item: whether it ends in another program's own words.
EXAMPLES: list[tuple[PVCError, bool]] = [
    (errors.InvalidInput({"size": "must be more than zero", "pool": "is missing"}), False),
    (errors.InvalidXML(reason="Premature end of data"), True),
    (errors.InvalidImage(problem="the upload is empty"), False),
    (errors.ImageTooLarge(size=2, volume="local/web1", limit=1), False),
    (errors.Unauthenticated(problem="A token is needed in the header X-Api-Key"), False),
    (errors.NotPermitted(problem="Only root may use the local socket"), False),
    (errors.NotFound(kind="VM", name="web1"), False),
    (errors.Conflict(kind="VM", name="web1", problem="is not stopped"), False),
    (errors.AlreadyExists(kind="VM", name="web1"), False),
    (errors.Changed(kind="VM", name="web1"), False),
    (errors.Cancelled(what='The migration of VM "web1"', outlook='; it stays on node "hv1"'), False),
    (errors.Busy(kind="VM", name="web1", holder='task "7"'), False),
    (errors.InUse(kind="volume", name="local/web1", user='VM "web1"'), False),
    (errors.NoRoom(kind="VM", name="web1", problem="has no free slot"), False),
    (errors.TooOld(why="What happened after revision 3 is not known any more"), False),
    (errors.TooLarge(what="The upload", size=2, limit=1), False),
    (errors.PoolFull(name="local"), False),
    (errors.Timeout(what="The end", timeout_s=1.5), False),
    (errors.Unavailable(what="libvirt", reason="no such file"), True),
    (errors.StoreUnavailable(reason="it is closed"), True),
    (errors.SessionLost(reason="its session is closed"), True),
    (errors.StoreLocked(path="/var/lib/pvc/pvc.db", holder=" (process 7)"), False),
    (errors.HypervisorUnavailable(reason="no libvirtd"), True),
    (errors.PoolUnavailable(name="local", reason="Input/output"), True),
    (errors.NodeUnavailable(name="hv1", reason="no agent"), True),
    (errors.HypervisorRefused(reason="unsupported configuration"), True),
    (errors.CephRefused(reason="pool size must be between 1 and 10"), True),
    (errors.ConversionFailed(reason="qemu-img: no"), True),
    (errors.NotAsWritten(name="local/web1"), False),
    (errors.NotBuilt(what="The provisioner"), False),
    (errors.Corrupt(kind="VM", name="web1", reason="not JSON"), True),
]
CLASSES: set[type[PVCError]] = {
    kind
    for _name, kind in inspect.getmembers(errors, inspect.isclass)
    if issubclass(kind, PVCError) and kind is not PVCError
}


def test_there_is_an_example_of_every_refusal() -> None:
    assert {type(exc) for exc, _ in EXAMPLES} == CLASSES


# Codes that no class has: said by the client alone, or of requests that come to no handler.
OTHERS = {"usage", "unreachable", "declined", "unhealthy", "invalid_request", "no_such_path", "method_not_allowed"}


def test_every_refusal_has_a_status_and_an_exit_code() -> None:
    assert set(OUTCOMES) == {kind.code for kind in CLASSES} | OTHERS
    assert all(400 <= status < 600 for status in STATUS.values())


def test_no_exit_code_says_that_all_went_well_and_1_says_that_pvc_is_at_fault() -> None:
    assert {code for code, number in EXIT.items() if number < 2} == {"corrupt"}


def test_no_two_refusals_share_a_code() -> None:
    assert len({kind.code for kind in CLASSES}) == len(CLASSES)


@pytest.mark.parametrize(("exc", "ends_foreign"), EXAMPLES, ids=lambda value: getattr(value, "code", None))
def test_a_refusal_is_one_sentence(exc: PVCError, *, ends_foreign: bool) -> None:
    text = str(exc)
    assert text[0] in string.ascii_uppercase or text.startswith("libvirt ")
    assert "error" not in text.lower()
    assert "'" not in text
    assert text.endswith(".") != ends_foreign
    assert "\n" not in text


@pytest.mark.parametrize("kind", sorted(CLASSES, key=str), ids=lambda kind: getattr(kind, "code", None))
def test_no_message_says_error(kind: type[PVCError]) -> None:
    assert "error" not in kind.message.lower()
    assert "'" not in kind.message


@pytest.mark.parametrize(("exc", "_ends_foreign"), EXAMPLES, ids=lambda value: getattr(value, "code", None))
def test_a_failed_task_answers_as_the_refusal_itself_would(exc: PVCError, *, _ends_foreign: bool) -> None:
    again = TaskProblem({"code": exc.code, "message": str(exc)})
    assert (status_of(again), str(again), again.code) == (status_of(exc), str(exc), exc.code)


def test_what_the_table_does_not_have_is_a_bug_of_ours() -> None:
    class NewError(PVCError):
        code, message = "new", "Something new."

    assert status_of(NewError()) == 500
    assert status_of(TaskProblem({})) == 409
    assert status_of(TaskProblem({"code": "from the future", "message": "x"})) == 500


def test_an_answer_can_carry_whatever_stands_in_the_fields() -> None:
    answer = refused(errors.PoolFull(name="x", more=ValueError("no JSON of its own")))
    assert answer.status == 507
    assert answer.text is not None
    assert "no JSON of its own" in answer.text
