"""Every route, walked by table: what it grants, and that it refuses what makes no sense and changes nothing by it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from urllib.parse import urlencode

import pytest
from msgspec.structs import replace

from pvc.cluster import networks, tasks
from pvc.images.receive import Received
from pvc.model.records import OVA, SCHEMA, Cluster, Network, Node, OVADisk, Task, encode
from pvc.server.endpoints import ENDPOINTS
from pvc.server.parts import message
from pvc.server.receptions import RECEPTIONS, Leg, Reception
from pvc.storage.administration import Layout
from pvc.store.base import Create
from pvc.store.paths import generation_root
from pvc.units import MIB
from tests.parts import documents
from tests.unit.server.site import Answer, Site
from tests.unit.server.table import CASES, THERE, Case


def assert_refusal(answer: Answer, status: int, code: str) -> None:
    assert (answer.status, answer.code) == (status, code), answer.body
    assert set(answer.body) == {"message", "code", "fields"}
    assert answer.headers["Content-Type"].startswith("application/json")
    assert answer.message.endswith(".")
    assert "error" not in answer.message.lower()
    assert "\n" not in answer.message


@pytest.fixture
async def furnished(site: Site) -> Site:
    """What the table names: a stopped VM with disk and NIC, volumes, a snapshot, networks, a dead node, a Ceph pool.

    The VM was migrated here; the second task is a migration that nobody sees to.
    """
    for name in ("disk0", "own", "bare", "begun"):
        await site.pool.create(name, MIB)
    await site.pool.snapshot("disk0", "snap")
    await site.ceph.create_pool("vms", Layout(8, 1, 1))
    await networks.add(site.state, Network(vni=100, description="lan", bridge="vmbr100"))
    await networks.add(site.state, Network(vni=101, description="spare", bridge="vmbr101"))
    uuid = await site.define("web1", documents.disk("local/own"), documents.nic("52:54:00:00:00:09"))
    held = await site.state.vm(uuid)
    await site.state.write_vm(held, replace(held.record, last_node="left"))
    migration = Task(id="t2", kind="migrate", target=("vm", "1"), name="gone", phase="copy")
    task = Task(id="t1", kind="upload", target=("volume", "local/disk0"), name="disk0")
    left = Create(site.state.paths.node("left"), encode(Node(name="left")))
    kept = Cluster(schema=SCHEMA, id="c", generation="0", created_at=0.0)
    before = Create(generation_root("0"), encode(kept))
    await site.state.store.commit(tasks.creation(site.state, task), tasks.creation(site.state, migration), left, before)
    await site.pool.create("ova_app_vda", MIB)
    disk = OVADisk(dev="vda", volume="local/ova_app_vda", size=MIB)
    ova = OVA(name="app", whole=True, vcpus=1, memory=64, disks=(disk,))
    await site.state.store.commit(Create(site.state.paths.ova("app"), encode(ova)))
    begun = Reception(("root", "w"), "t3", "local/begun", 4, 60, lambda _: message("It is whole."))
    begun.begin(site.app, Leg(nothing(), lambda: None), lambda: taken(begun))
    site.app[RECEPTIONS]["local/begun"] = begun
    return site


async def nothing() -> AsyncIterator[bytes]:
    for _ in ():
        yield b""


async def taken(reception: Reception) -> Received:
    size = sum([len(chunk) async for chunk in reception.chunks(lambda *_: None)])
    return Received("raw", size, size, "")


async def test_the_table_has_every_endpoint(bare: Site) -> None:
    assert {str(case) for case in CASES} == {f"{one.method} {one.path}" for one in bare.app[ENDPOINTS].values()}


# Parameters of which one must be given, and that their good requests leave out.
INSTEAD = {"net", "new_size", "limit", "selector", "autostart", "profile", "description", "mtu"}
INSTEAD |= {"migration_max_downtime"}


async def send(site: Site, case: Case, how: str = "query", **more: str) -> Answer:
    """more: further parameters."""
    params = {**case.good, **more}
    texts = {name: str(value) for name, value in params.items()}
    if how == "query" or not case.body:
        return await site.ask(case.method, case.real, params, data=case.data or None, headers=case.headers)
    if how == "json":
        return await site.ask(case.method, case.real, json=params)
    if how == "multipart":
        with_parts = web_form(texts)
        return await site.ask(case.method, case.real, data=with_parts[1], headers={"Content-Type": with_parts[0]})
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    return await site.ask(case.method, case.real, data=urlencode(texts), headers=form)


def web_form(texts: dict[str, str]) -> tuple[str, bytes]:
    parts = [f'--x\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{text}\r\n' for name, text in texts.items()]
    return "multipart/form-data; boundary=x", ("".join(parts) + "--x--\r\n").encode()


@pytest.mark.parametrize(
    ("case", "how"),
    [(case, how) for case in CASES for how in case.ways],
    ids=str,
)
async def test_a_good_request_is_granted_wherever_its_parameters_stand(furnished: Site, case: Case, how: str) -> None:
    if case.path.endswith(("/console", "/log")):
        answer = await send(furnished, case, how)
        assert_refusal_in_other_words(answer)
        return
    answer = await send(furnished, case, how)
    assert answer.status == 200, answer.body
    if case.method != "GET" and case.path != "/":
        assert answer.message.endswith(".")
        assert "error" not in answer.message.lower()


def assert_refusal_in_other_words(answer: Answer) -> None:
    """No agent answers on the node's socket here."""
    assert (answer.status, answer.code) == (503, "node_unavailable")


@pytest.mark.parametrize("case", CASES, ids=str)
async def test_an_unknown_parameter_is_refused_by_its_name(furnished: Site, case: Case) -> None:
    before = await furnished.everything()
    for how in ("query", "form", "json"):
        answer = await send(furnished, case, how, nonsense="1")
        assert_refusal(answer, 400, "invalid_input")
        assert answer.fields["nonsense"].startswith("is not known here")
    assert await furnished.everything() == before
    assert furnished.hypervisor.acts == []


@pytest.mark.parametrize(
    ("case", "name", "value"),
    [(case, name, value) for case in CASES for name, value in case.wrong.items()],
    ids=lambda value: str(value) if isinstance(value, (Case, str)) else None,
)
async def test_a_wrong_value_is_refused_by_its_name(furnished: Site, case: Case, name: str, value: str) -> None:
    before = await furnished.everything()
    answer = await send(furnished, case, **{name: value})
    assert_refusal(answer, 400, "invalid_input")
    assert list(answer.fields) == [name]
    assert f'rgument "{name}" ' in answer.message
    assert await furnished.everything() == before
    assert furnished.hypervisor.acts == []


@pytest.mark.parametrize("case", [case for case in CASES if case.good], ids=str)
async def test_every_missing_parameter_is_named(furnished: Site, case: Case) -> None:
    before = await furnished.everything()
    answer = await furnished.ask(case.method, case.real)
    assert_refusal(answer, 400, "invalid_input")
    assert set(answer.fields) <= set(case.good) | INSTEAD
    assert answer.fields
    assert await furnished.everything() == before


@pytest.mark.parametrize("case", [case for case in CASES if case.good and case.body], ids=str)
async def test_a_parameter_given_twice_is_refused(furnished: Site, case: Case) -> None:
    before = await furnished.everything()
    name, value = next(iter(case.good.items()))
    assert_refusal(await furnished.ask(case.method, case.real, {name: value}, json=case.good), 400, "invalid_input")
    twice = f'{{"{name}": "a", "{name}": "b"}}'
    answer = await furnished.ask(case.method, case.real, data=twice, headers={"Content-Type": "application/json"})
    assert answer.fields[name] == "must be given once"
    assert await furnished.everything() == before


@pytest.mark.parametrize(
    ("case", "part"), [(case, part) for case in CASES for part in case.parts], ids=lambda value: str(value)
)
async def test_an_unknown_object_is_not_found(furnished: Site, case: Case, part: str) -> None:
    before = await furnished.everything()
    for name in ("absent", "7", "a%2Fb", "..%2F..", "-x", "%00", "%FF", "%C2%B2", "9" * 300):
        path = case.path.format(**(THERE | case.there | {part: name}))
        answer = await furnished.ask(case.method, path, case.good, data=case.data or None)
        assert_refusal(answer, 404, "not_found")
    assert await furnished.everything() == before


@pytest.mark.parametrize(
    ("method", "path"), [("POST", "/osd"), ("POST", "/osd/0"), ("PUT", "/osd/0"), ("DELETE", "/osd/0")]
)
async def test_osds_are_neither_made_nor_removed_yet(bare: Site, method: str, path: str) -> None:
    assert_refusal(await bare.ask(method, f"/storage/ceph{path}"), 501, "not_built")


async def test_what_a_node_cannot_be_asked_yet_is_told_in_one_sentence(site: Site) -> None:
    answer = await site.ask("POST", "/node/hv1/coordinator-state", {"state": "primary"})
    assert_refusal(answer, 501, "not_built")


@pytest.mark.parametrize("path", ["/nonsense", "/vm/web1/nonsense", "/vm/", "/storage", "/storage/ceph/nonsense", "//"])
async def test_an_unknown_path_is_not_found_in_json(site: Site, path: str) -> None:
    assert_refusal(await site.ask("GET", path), 404, "no_such_path")


@pytest.mark.parametrize(
    ("method", "path", "allow"), [("PATCH", "/vm", "GET, HEAD, POST"), ("PUT", "/status", "GET, HEAD, POST")]
)
async def test_a_wrong_method_is_told_the_right_ones(site: Site, method: str, path: str, allow: str) -> None:
    answer = await site.ask(method, path)
    assert_refusal(answer, 405, "method_not_allowed")
    assert answer.headers["Allow"] == allow


async def test_health_is_told_to_everybody(bare: Site) -> None:
    async with bare.network.get(f"http://127.0.0.1:{bare.port}/healthz") as answer:
        assert answer.status == 200


@pytest.mark.parametrize("word", ["y", "Yes", "T", "true", "ON", "1"])
async def test_every_word_for_yes_is_taken(furnished: Site, word: str) -> None:
    answer = await furnished.ask("POST", "/vm/web1/tags", {"action": "add", "tag": "t", "protected": word})
    assert answer.status == 200
    assert (await furnished.ask("GET", "/vm/web1/tags")).body["tags"][0]["protected"] is True


@pytest.mark.parametrize("word", ["n", "No", "F", "false", "OFF", "0"])
async def test_every_word_for_no_is_taken(furnished: Site, word: str) -> None:
    answer = await furnished.ask("POST", "/vm/web1/tags", json={"action": "add", "tag": "t", "protected": word})
    assert answer.status == 200
    assert (await furnished.ask("GET", "/vm/web1/tags")).body["tags"][0]["protected"] is False


@pytest.mark.parametrize("word", ["", "perhaps", "2", "tru", "none", "-1"])
async def test_what_is_neither_yes_nor_no_is_refused(furnished: Site, word: str) -> None:
    answer = await furnished.ask("POST", "/vm/web1/tags", {"action": "add", "tag": "t", "protected": word})
    assert_refusal(answer, 400, "invalid_input")
    assert answer.fields == {"protected": 'must be "true" or "false"'}


async def test_every_problem_is_told_at_once(furnished: Site) -> None:
    answer = await furnished.ask("POST", "/network", {"vni": "x", "nettype": "y", "what": "z"})
    assert_refusal(answer, 400, "invalid_input")
    assert set(answer.fields) == {"vni", "nettype", "what", "description"}
