"""When a copy that stalls is allowed more, and when it is given up."""

from __future__ import annotations

import pytest

from pvc.agent.patience import Patience, Push


def test_a_stalling_copy_is_allowed_more_a_quarter_at_a_time_and_then_given_up() -> None:
    patience = Patience(most_ms=400, step_s=1, end_s=5)
    assert patience.allowed_ms == 100
    said = [patience.look(now, 100) for now in range(10)]
    assert said == [None, Push.ALLOW_MORE, Push.ALLOW_MORE, Push.ALLOW_MORE, None, None, None, None, Push.ABORT, None]
    assert patience.allowed_ms == 400


def test_a_new_low_is_progress() -> None:
    patience = Patience(most_ms=400, step_s=1, end_s=5)
    assert [patience.look(now, 100 - now) for now in range(100)] == [None] * 100


@pytest.mark.parametrize(("post_copy", "push"), [(True, Push.POST_COPY), (False, Push.ABORT)])
def test_what_came_to_nothing_is_said_again(*, post_copy: bool, push: Push) -> None:
    patience = Patience(most_ms=400, step_s=1, end_s=5, post_copy=post_copy, steps=4)
    said = [patience.look(now, 100) for now in range(11)]
    assert [now for now, one in enumerate(said) if one] == [5, 10]
    assert {one for one in said if one} == {push}
