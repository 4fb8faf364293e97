"""The states of a node, told from its signs."""

from __future__ import annotations

import pytest

from pvc.model.noding import Signs, doubt
from pvc.model.records import DaemonState, Node, NodeStatus, Waiting

OWN, OTHER = Waiting(machine="one", reason="it must"), Waiting(machine="two", reason="it must")


def signs(alive: bool, last: str | None, waiting: Waiting | None = None) -> Signs:
    status = NodeStatus(daemon=DaemonState(last) if last else None)
    return Signs(node=Node(name="hv1", machine="one"), alive=alive, waiting=waiting, status=status)


@pytest.mark.parametrize(
    ("alive", "last", "waiting", "word"),
    [
        (True, "init", None, "init"),
        (True, "run", None, "run"),
        (True, "shutdown", None, "shutdown"),
        (True, "stop", None, "stop"),
        (True, None, None, "init"),
        (True, "run", OWN, "init"),
        (True, "run", OTHER, "run"),
        (False, "stop", None, "stop"),
        (False, "stop", OTHER, "stop"),
        (False, "run", None, "dead"),
        (False, "run", OTHER, "dead"),
        (False, "shutdown", None, "dead"),
        (False, "init", None, "dead"),
        (False, None, None, "dead"),
    ],
)
def test_the_word_follows_from_the_life_and_what_was_said_last(
    alive: bool, last: str | None, waiting: Waiting | None, word: str
) -> None:
    assert signs(alive, last, waiting).daemon_state == word


def test_only_another_machine_is_a_rival() -> None:
    assert signs(True, "run").rival == signs(True, "run", OWN).rival == ""
    assert signs(False, "run", OTHER).rival == (
        'An agent on machine "two" has this name too, and waits because it must.'
    )


def test_a_living_node_whose_word_cannot_be_read_runs() -> None:
    unreadable = Signs(node=Node(name="hv1"), alive=True, waiting=None, status=NodeStatus(problem="It is damaged."))
    assert unreadable.daemon_state == "run"


@pytest.mark.parametrize(
    ("alive", "problem", "said"),
    [
        (True, "", ""),
        (False, "", 'Node "hv1" does not answer: whether the VM runs is not known.'),
        (False, "no libvirtd", 'Node "hv1" does not answer: whether the VM runs is not known.'),
        (True, "no libvirtd", 'Node "hv1" cannot tell whether the VM runs: no libvirtd'),
    ],
)
def test_what_a_node_said_of_its_vms_is_in_doubt_while_it_cannot_say_more(alive: bool, problem: str, said: str) -> None:
    assert doubt("hv1", NodeStatus(problem=problem), alive=alive) == said
