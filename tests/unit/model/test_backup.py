"""What is written is read back, byte for byte; what is damaged, newer or wrong is refused and says why."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from pvc.errors import InvalidInput
from pvc.model import backup, domain
from pvc.model.backup import Taken
from pvc.model.content import Content, plan
from pvc.model.records import (
    OVA,
    VM,
    Desired,
    DomainState,
    How,
    Lifted,
    MigrationMethod,
    Moving,
    Network,
    Node,
    OVADisk,
    Selector,
    Tag,
)
from tests.parts import documents

TAKEN = Taken(at="2024-02-03T04:05:06+00:00", revision=7, generation="1")

SETTLED = [DomainState.READY, DomainState.FLUSH, DomainState.FLUSHED]
DISK = OVADisk(dev="sda", volume="vms/ova.sda", size=1 << 20, file="a.vmdk", format="vmdk")

name = st.from_regex(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,20}[A-Za-z0-9])?", fullmatch=True)
text = st.text(st.characters(codec="utf-8"), max_size=20)
words = st.from_regex(r"[a-zäö \n]{0,9}", fullmatch=True)
moment = st.floats(min_value=0, max_value=1e10)


@st.composite
def contents(draw: st.DrawFn) -> Content:
    nodes = [
        Node(name=one, machine=draw(text), domain_state=draw(st.sampled_from(SETTLED)))
        for one in draw(st.lists(name, unique=True, min_size=1, max_size=3))
    ]
    called = [one for one in draw(st.lists(name, unique=True, max_size=4)) if len(one) != 32]
    uuids = draw(st.lists(st.uuids(), unique=True, min_size=len(called), max_size=len(called)))
    vms = [_vm(draw, one, str(uuid), nodes) for one, uuid in zip(called, uuids, strict=True)]
    vnis = draw(st.lists(st.integers(1, 16_777_215), unique=True, max_size=3))
    networks = [
        Network(vni=vni, description=f"net{vni}", bridge=draw(name), mtu=draw(st.none() | st.integers(576, 9000)))
        for vni in vnis
    ]
    ovas = [OVA(name=one, whole=True, vcpus=1, memory=64, disks=(DISK,)) for one in called[:2]]
    return Content.ordered(networks, nodes, vms, ovas)


def _vm(draw: st.DrawFn, called: str, uuid: str, nodes: list[Node]) -> VM:
    note = f"<description>{draw(words)}</description>"
    return VM(
        uuid=uuid,
        name=called,
        xml=domain.normalise(documents.vm(called, uuid=uuid, more=note), new_uuid=uuid),
        node=draw(st.sampled_from(nodes)).name,
        desired=draw(st.sampled_from(Desired)),
        how=draw(st.sampled_from(How)),
        deadline_s=draw(st.none() | moment),
        run=draw(st.integers(0, 9)),
        node_limit=tuple(draw(st.lists(name, max_size=2))),
        node_selector=draw(st.sampled_from(Selector)),
        node_autostart=draw(st.booleans()),
        migration_method=draw(st.sampled_from(MigrationMethod)),
        profile=draw(text),
        tags=tuple(Tag(name=one, protected=draw(st.booleans())) for one in draw(st.lists(name, max_size=2))),
        lifted=tuple(Lifted(tag=one, who=draw(text), at=draw(moment)) for one in draw(st.lists(name, max_size=2))),
    )


@given(contents())
def test_what_is_written_is_read_and_written_the_same(content: Content) -> None:
    written = backup.document(content, "c", TAKEN)
    found = backup.read(written)
    assert (found.content, found.cluster, found.notes) == (content, "c", ())
    assert backup.document(found.content, "c", TAKEN) == written


@given(contents(), contents())
def test_a_plan_is_empty_just_for_equal_contents_and_turns_around(one: Content, other: Content) -> None:
    there, back = plan(one, other), plan(other, one)
    assert (there == plan(one, one)) == (one == other)
    assert [item.key for item in there.creates] == [item.key for item in back.deletes]
    assert {item.key for item in there.changes} == {item.key for item in back.changes}


def vm(**more: Any) -> VM:
    uuid = "00000000-0000-4000-8000-000000000001"
    return VM(**{"uuid": uuid, "name": "web1", "xml": documents.vm("web1", uuid=uuid), "node": "hv1", **more})


def whole(**more: Any) -> dict[str, Any]:
    """A document whose hash is right."""
    content = Content.ordered([Network(vni=100, description="lan")], [Node(name="hv1")], [vm()])
    found: dict[str, Any] = msgspec.json.decode(backup.document(content, "c", TAKEN))
    found["content"] |= more
    return found | {"sha256": backup.digest(found["content"])}


def problem(given: Any) -> str:
    with pytest.raises(InvalidInput) as caught:
        backup.read(given if isinstance(given, bytes) else msgspec.json.encode(given))
    return caught.value.problems["cluster_data"]


def test_a_document_is_read_by_people_line_by_line_xml_too() -> None:
    lines = backup.document(Content.ordered([], [Node(name="hv1")], [vm(xml="<a>\n  <b/>\n</a>\n")]), "c", TAKEN)
    assert b'\n          "  <b/>",\n' in lines
    assert lines.index(b'"sha256"') < lines.index(b'"content"')


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (b"", "is not JSON"),
        (b"{", "is not JSON"),
        (b"[]", "must be a JSON object"),
        (b"{}", '"format" must be "pvc-backup"'),
        (b"\xff", "is not JSON"),
        (whole() | {"sha256": "0"}, "does not have the SHA-256"),
        (whole() | {"schema": backup.SCHEMA + 1}, "written by a newer pvc"),
        (whole() | {"schema": 0}, "which no pvc has written"),
        (whole() | {"schema": "1"}, "is damaged"),
        (whole() | {"content": []}, "is damaged"),
        (whole(vms=None), '"vms" is not a list'),
        (whole(vms=[1]), "record 0 of vms"),
        (whole(nodes=[]), 'VM "web1" belongs to node "hv1", which the backup does not have'),
        (whole(nodes=[{"name": "hv1"}, {"name": "hv1"}]), 'the node "hv1" is there twice'),
        (whole(ovas=[{"name": "a", "vcpus": 1, "memory": 1, "disks": []}]), 'OVA "a" is not whole'),
        (whole(networks=[{"vni": 0, "description": "a b"}]), "is not 1 to 16777215"),
        (whole(networks=[{"vni": 1, "description": "lan", "colour": "red"}]), 'unknown field "colour"'),
    ],
)
def test_what_cannot_be_restored_is_refused_and_says_why(given: Any, says: str) -> None:
    assert says in problem(given)


@pytest.mark.parametrize(
    ("field", "value", "says"),
    [
        ("uuid", "x", "which is none"),
        ("name", "../x", "must be 1 to 64"),
        ("xml", ["<domain>"], "cannot be read"),
        ("xml", documents.vm("other").split("\n"), 'has the name "other"'),
        ("desired", "asleep", "Invalid enum value"),
    ],
)
def test_a_record_that_is_wrong_is_refused(field: str, value: Any, says: str) -> None:
    record = {**whole()["content"]["vms"][0], field: value}
    assert says in problem(whole(vms=[record]))


def test_only_the_first_problems_are_told_with_the_number_of_the_rest() -> None:
    assert "and 5 more" in problem(whole(vms=[1] * 10))


def test_an_older_content_is_upgraded_step_by_step() -> None:
    steps = {1: lambda content: {**content, "one": 1}, 2: lambda content: {**content, "two": content["one"] + 1}}
    assert backup.upgraded({}, 1, steps) == {"one": 1, "two": 2}
    assert backup.upgraded({"one": 5}, 2, steps) == {"one": 5, "two": 6}
    with pytest.raises(InvalidInput, match="newer pvc: it has schema 4, this pvc knows 3"):
        backup.upgraded({}, 4, steps)


def test_what_is_volatile_is_left_out() -> None:
    moving = vm(task="t", moving=Moving(target="hv2"))
    assert backup.bare(moving) == vm()
    joined = Node(name="hv1", peer="https://x", fingerprint="f", pvc_version="1", machine="m", task="t")
    assert backup.bare(joined) == Node(name="hv1", machine="m")
    states = [backup.bare(replace(joined, domain_state=state)).domain_state for state in DomainState]
    assert states == [DomainState.READY, DomainState.FLUSH, DomainState.FLUSHED, DomainState.READY]
