"""A protection is lifted on purpose, and who did it is known from then on."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from pvc.cluster import tags
from pvc.errors import Conflict, NotFound
from pvc.model.records import VM, Lifted, Tag, decode, encode
from tests.unit.cluster.house import House


async def tagged(house: House, *found: Tag) -> VM:
    vm = await house.define()
    await house.state.write_vm(await house.state.vm(vm.uuid), replace(vm, tags=found))
    return replace(vm, tags=found)


async def change(house: House, action: str, name: str, who: str = "me") -> VM:
    await tags.change(house.state, "web1", action, Tag(name=name), who=who)
    return (await house.state.find_vm("web1")).record


async def test_a_lifted_protection_says_who_did_it_even_after_the_tag_is_gone(house: House) -> None:
    await tagged(house, Tag(name="a", protected=True), Tag(name="b", protected=True))
    vm = await change(house, tags.UNPROTECT, "a", 'token "ops"')
    assert vm.tags == (Tag(name="a"), Tag(name="b", protected=True))
    vm = await change(house, tags.REMOVE, "a")
    assert [(one.tag, one.who) for one in vm.lifted] == [("a", 'token "ops"')]
    assert [tag.name for tag in vm.tags] == ["b"]


@pytest.mark.parametrize(
    ("name", "kind", "problem"),
    [
        ("system", Conflict, "is not a user tag"),
        ("plain", Conflict, "is not protected"),
        ("absent", NotFound, 'has no tag "absent"'),
    ],
)
async def test_what_has_no_protection_of_the_user_cannot_be_unprotected(
    house: House, name: str, kind: type[Exception], problem: str
) -> None:
    await tagged(house, Tag(name="system", type="system", protected=True), Tag(name="plain"))
    before = await house.everything()
    with pytest.raises(kind, match=problem):
        await change(house, tags.UNPROTECT, name)
    assert await house.everything() == before


def test_only_the_latest_are_kept() -> None:
    vm = VM(uuid="u", name="web1", xml="", node="hv1")
    for number in range(tags.KEPT + 5):
        vm = tags.unprotected(tags.added(vm, Tag(name="a", protected=True)), "a", who="me", at=float(number))
    assert len(vm.lifted) == tags.KEPT
    assert vm.lifted[-1] == Lifted(tag="a", who="me", at=tags.KEPT + 4.0)


def test_a_record_of_a_type_that_is_not_known_here_is_kept_as_it_is() -> None:
    vm = VM(uuid="u", name="web1", xml="", node="hv1", tags=(Tag(name="a", type="location"),))
    assert decode(VM, encode(vm), "u") == vm
