"""What may be a name: safe as a file name, a znode, a URL segment and an argument."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pvc.model.names import problem_with, split_volume

KINDS = ("VM", "volume", "snapshot", "pool", "node", "network", "tag")
HOSTILE = (
    "",
    ".",
    "..",
    "-rf",
    ".hidden",
    "a/b",
    "../../etc/passwd",
    "a b",
    "a\nb",
    "a\n",
    "a\0",
    "ä",
    "a" * 200,
    "\u202eabc",
    "٣",
)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_name_is_refused_for_every_kind(kind: str, name: str) -> None:
    problem = problem_with(kind, name)
    assert problem is not None
    assert problem.startswith("must be ")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ("a", "0", "web1", "Web-1.example_x"))
def test_a_usual_name_is_taken_for_every_kind(kind: str, name: str) -> None:
    assert problem_with(kind, name) is None


@pytest.mark.parametrize(
    ("kind", "longest"), [("VM", 64), ("node", 64), ("pool", 64), ("volume", 120), ("snapshot", 120), ("tag", 64)]
)
def test_the_longest_name_is_as_long_as_the_sentence_says(kind: str, longest: int) -> None:
    assert problem_with(kind, "a" * longest) is None
    problem = problem_with(kind, "a" * (longest + 1))
    assert problem is not None
    assert f"1 to {longest} " in problem


@pytest.mark.parametrize("name", ["5d3ec1b0-0000-4000-8000-000000000001", "5D3EC1B0000040008000000000000001"])
def test_a_vm_cannot_be_named_like_a_uuid(name: str) -> None:
    assert problem_with("VM", name) == "must not look like a UUID"


@pytest.mark.parametrize("name", ["env:prod", "a=b", "a+b"])
def test_a_tag_may_have_marks_that_a_file_name_may_not(name: str) -> None:
    assert problem_with("tag", name) is None
    assert problem_with("volume", name) is not None


@given(st.sampled_from(KINDS), st.text())
def test_whatever_is_taken_stays_one_part_of_a_path(kind: str, name: str) -> None:
    if problem_with(kind, name) is None:
        assert name.isascii()
        assert name.isprintable()
        assert not set(name) & set('/ \\"')
        assert name[0] not in ".-"


def test_a_volume_is_written_with_its_pool() -> None:
    assert split_volume("local/web1") == ("local", "web1")


@pytest.mark.parametrize("text", ["web1", "/web1", "local/", "local/a/b", "../web1", "local/..", "local/../x", ""])
def test_what_is_no_pool_and_volume_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="must be written as POOL/VOLUME"):
        split_volume(text)
