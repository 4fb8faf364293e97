"""Tags as clients see them: put on, protected, unprotected, and what they choose from the list."""

from __future__ import annotations

from typing import Any

import pytest

from tests.parts import documents
from tests.unit.server.site import Site


async def test_a_protected_tag_goes_only_after_its_protection(site: Site) -> None:
    await site.define()
    for params, status in (
        ({"action": "add", "tag": "keep", "protected": "true"}, 200),
        ({"action": "add", "tag": "keep"}, 409),
        ({"action": "remove", "tag": "keep"}, 409),
        ({"action": "unprotect", "tag": "keep"}, 200),
        ({"action": "unprotect", "tag": "keep"}, 409),
        ({"action": "remove", "tag": "keep"}, 200),
    ):
        assert (await site.ask("POST", "/vm/web1/tags", params)).status == status, params
    shown = (await site.ask("GET", "/vm/web1/tags")).body
    assert shown["tags"] == []
    assert [(one["tag"], one["who"], one["at"] > 0) for one in shown["unprotected"]] == [("keep", "root", True)]


@pytest.fixture
async def tagged(site: Site) -> Site:
    for name, words in (("a", ["x"]), ("b", ["x", "y"]), ("c", ["z"]), ("d", [])):
        given = {"xml": documents.vm(name), "user_tags": words}
        assert (await site.ask("POST", "/vm", json=given)).status == 200
    return site


@pytest.mark.parametrize(
    ("filters", "chosen"),
    [
        ({"tag": "x"}, "ab"),
        ({"tag": ["x", "y"]}, "b"),
        ({"tag": "x", "negate": True}, "cd"),
        ({"tag": ["x", "y"], "negate": True}, "cd"),
        ({"without_tag": "x"}, "cd"),
        ({"without_tag": ["x", "z"]}, "d"),
        ({"any_tag": ["y", "z"]}, "bc"),
        ({"any_tag": "none"}, ""),
        ({"tag": "x", "without_tag": "y"}, "a"),
        ({"any_tag": ["x", "z"], "without_tag": "y"}, "ac"),
        ({"limit": "a|b", "any_tag": ["y", "z"]}, "b"),
        ({"without_tag": "y", "tag": "z", "negate": True}, "ad"),
        ({}, "abcd"),
    ],
)
async def test_the_list_is_chosen_by_tags(tagged: Site, filters: dict[str, Any], chosen: str) -> None:
    answer = await tagged.ask("GET", "/vm", json=filters)
    assert "".join(vm["name"] for vm in answer.body) == chosen


async def test_a_filter_that_is_repeated_in_the_query_means_the_same(tagged: Site) -> None:
    for query, chosen in (("any_tag=y&any_tag=z", "bc"), ("tag=x&tag=y", "b"), ("without_tag=x&without_tag=z", "d")):
        async with tagged.client.get(f"http://pvc/api/v1/vm?{query}") as answer:
            assert "".join(vm["name"] for vm in await answer.json()) == chosen
