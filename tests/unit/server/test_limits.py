"""Filters come from whoever may read a list."""

from __future__ import annotations

import pytest

from pvc.server.limits import matcher

NAMES = ["web1", "web-2", "db1", "a.b", "ünder"]


@pytest.mark.parametrize(
    ("limit", "found"),
    [
        (None, NAMES),
        ("", NAMES),
        ("web", ["web1", "web-2"]),
        ("b-2", ["web-2"]),
        ("^db", ["db1"]),
        ("^(web|db)[0-9]$", ["web1", "db1"]),
        ("(?i)WEB1", ["web1"]),
        (r"a\.b", ["a.b"]),
        ("^.nder", ["ünder"]),
        (r"\d", ["web1", "web-2", "db1"]),
    ],
)
def test_a_limit_is_searched_anywhere_unless_it_is_anchored(limit: str | None, found: list[str]) -> None:
    assert list(filter(matcher(limit), NAMES)) == found


@pytest.mark.parametrize("limit", ["(", "*", "[a", "a{1000}{1000}", "web(?!1)", "(a)\\1", "\udcff", "(?:.?){900}"])
def test_what_cannot_be_searched_in_bounded_time_is_refused(limit: str) -> None:
    with pytest.raises(ValueError, match=r"^is not a regular expression: .+"):
        matcher(limit)


@pytest.mark.timeout(20)
@pytest.mark.parametrize("limit", ["(a+)+$", "(.*)*x", ".*.*.*.*.*.*.*.*.*x", "(a|aa)+$", "[ab]*a[ab]{50}$"])
def test_no_expression_goes_back_and_forth(limit: str) -> None:
    """Python's own would take years."""
    assert not matcher(limit)("a" * 100 + "!")


def test_a_name_that_is_no_text_is_searched_too() -> None:
    assert matcher("^a.*z$")("a\udcffz") is False
