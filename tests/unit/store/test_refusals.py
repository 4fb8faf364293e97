"""What ZooKeeper may say beyond the contract."""

from __future__ import annotations

import pytest
from kazoo.exceptions import ConnectionLoss, NodeExistsError, NoNodeError, RolledBackError, ZookeeperError

from pvc.errors import AlreadyExists, NotFound, StoreUnavailable
from pvc.store import zookeeper
from pvc.store.base import Check, Create, Operation


class Unheard(ZookeeperError):
    pass


def test_a_refusal_of_an_unknown_kind_is_named_and_does_not_pass_for_success() -> None:
    answer = zookeeper.commit([Create("/a")]).read([Unheard()])
    assert isinstance(answer, StoreUnavailable)
    assert str(answer) == "The cluster store is not available: ZooKeeper refused with Unheard"


def test_the_refusal_carries_its_cause() -> None:
    cause = ConnectionLoss()
    assert zookeeper.commit([Create("/a")]).read([cause]).__cause__ is cause


@pytest.mark.parametrize("results", [[], ["/a"], ["/a", True, True]])
def test_results_that_do_not_fit_the_operations_are_no_success(results: list[object]) -> None:
    with pytest.raises(ValueError, match="zip"):
        zookeeper.commit([Create("/a"), Check("/b", 0)]).read(results)


def test_operations_that_were_only_rolled_back_are_not_blamed() -> None:
    operations: list[Operation] = [Create("/a"), Create("/b"), Check("/c", 0)]
    answer = zookeeper.commit(operations).read([RolledBackError(), NodeExistsError(), NoNodeError()])
    assert isinstance(answer, AlreadyExists)
    assert not isinstance(answer, NotFound)
    assert answer.fields["name"] == "/b"
