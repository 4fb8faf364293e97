"""/backup, /restore, /rollback and /initialize, as clients meet them."""

from __future__ import annotations

import asyncio
import json
import socket
from io import BytesIO
from typing import Any

import pytest
from msgspec.structs import replace

from pvc.cluster import nodes, sealing
from pvc.cluster.tokens import digest
from pvc.model import backup
from pvc.model.backup import Taken
from pvc.model.content import Content
from pvc.model.records import DaemonState, Node, NodeStatus, Role
from pvc.server import recovery
from pvc.server.parse import DOCUMENT, MAX_BODY
from pvc.server.passphrase import is_near
from pvc.store.base import Create
from pvc.store.paths import TOKENS as FOLDER
from tests.parts import documents
from tests.parts.recovery import content
from tests.unit.server.site import BASE, TOKENS, Answer, Site

YES = {"yes-i-really-mean-it": "yes"}


def written(given: Content, cluster: str = "other") -> bytes:
    return backup.document(given, cluster, Taken(at="", revision=0, generation=""))


async def send(site: Site, data: bytes | BytesIO, **params: str) -> Answer:
    return await site.ask("POST", "/restore", params, data=data, headers={"Content-Type": DOCUMENT})


async def names(site: Site) -> list[str]:
    return [one["name"] for one in (await site.ask("GET", "/vm")).body]


async def taken(site: Site) -> dict[str, Any]:
    answer = await site.ask("GET", "/backup")
    assert answer.status == 200
    return {name: value for name, value in answer.body.items() if name != "taken"}


async def test_what_was_backed_up_is_restored_whole_and_the_server_answers_from_it_at_once(site: Site) -> None:
    await site.define("web1")
    await site.define("web2")
    saved = await taken(site)
    assert saved["counts"] == {"networks": 0, "nodes": 1, "ovas": 0, "vms": 2}
    await site.ask("DELETE", "/vm/web1")
    await site.define("web3")
    data = json.dumps({**saved, "taken": {}}).encode()
    answer = await send(site, data, force="true", **YES)
    assert answer.status == 200, answer.body
    assert [[one["name"] for one in answer.body["plan"][what]] for what in ("creates", "deletes")] == [
        ["web1"],
        ["web3"],
    ]
    assert await names(site) == ["web1", "web2"]
    assert await taken(site) == saved


async def test_a_dry_run_tells_all_and_changes_nothing(site: Site) -> None:
    await site.running("web1")
    before = await site.everything()
    answer = await send(site, written(content(2)), dry_run="true")
    assert answer.status == 200
    assert [one["name"] for one in answer.body["plan"]["creates"]] == ["100", "vm1", "vm2"]
    assert [one["problem"] for one in answer.body["obstacles"]] == ['VMs run that the backup does not know: "web1"']
    assert await site.everything() == before


async def test_a_guest_that_the_backup_does_not_know_is_a_refusal_and_runs_on_when_forced(site: Site) -> None:
    uuid = await site.running("web1")
    answer = await send(site, written(content(1)), **YES)
    assert (answer.status, answer.code) == (409, "conflict")
    assert (await send(site, written(content(1)), force="true", **YES)).status == 200
    assert await names(site) == ["vm1"]
    assert "stop" not in [act for act, about in site.hypervisor.acts if about == uuid]


@pytest.mark.parametrize("word", ["", "no", "Yes", "true"])
@pytest.mark.parametrize("path", ["initialize", "restore", "rollback"])
async def test_nothing_but_yes_is_a_yes(bare: Site, path: str, word: str) -> None:
    params = {"yes-i-really-mean-it": word}
    answer = await bare.ask("POST", f"/{path}", params, data=written(content(1)), headers={"Content-Type": DOCUMENT})
    assert (answer.status, answer.fields) == (400, {"yes-i-really-mean-it": 'must be "yes"'})


async def test_an_established_client_sends_its_backup_as_a_form(bare: Site) -> None:
    form = {**YES, "cluster_data": written(content(1)).decode(), "force": "true"}
    answer = await bare.ask("POST", "/restore", data=form)
    assert answer.status == 200, answer.body
    assert await names(bare) == ["vm1"]


async def test_a_backup_larger_than_other_bodies_is_taken(bare: Site) -> None:
    data = BytesIO(written(content(1)) + b" " * MAX_BODY)
    assert (await send(bare, data, force="true", **YES)).status == 200


async def test_who_follows_a_restore_hears_of_its_end_across_the_flip(bare: Site) -> None:
    params = {"force": "true", "wait": "false", **YES}
    begun = await send(bare, written(content(2)), **params)
    assert begun.message == "The restore is under way."
    seen = {"status": "running", "version": -1}
    while seen["status"] == "running":
        asked = {"after": seen["version"], "wait": 20}
        answer = await bare.ask("GET", f"/tasks/{begun.body['task']}", asked)
        assert answer.status == 200, answer.body
        seen = answer.body
    assert (seen["status"], seen["kind"], seen["target"]) == ("done", "restore", "cluster/pvc")
    assert seen["figures"] == {"generation": 2, "previous": 1}
    assert await names(bare) == ["vm1", "vm2"]
    [task] = (await bare.ask("GET", "/tasks")).body
    assert task == seen
    async with asyncio.timeout(20):  # whoever knows a later version, of the generation before
        await bare.ask("GET", f"/tasks/{seen['id']}", {"after": 99, "wait": 60})
    assert (await bare.ask("POST", f"/tasks/{seen['id']}", json={"action": "cancel"})).code == "conflict"


async def test_a_restore_that_is_refused_is_a_task_that_failed_for_the_same_reason(site: Site) -> None:
    await site.running("web1")
    refused = await send(site, written(content(1)), **YES)
    task = next(one for one in (await site.ask("GET", "/tasks")).body if one["kind"] == "restore")
    assert (task["status"], task["problem"]["message"]) == ("failed", refused.message)


async def test_one_vm_has_a_dry_run(bare: Site) -> None:
    before = await bare.everything()
    answer = await send(bare, written(content(2)), dry_run="true", vm="vm2")
    assert [one["name"] for one in answer.body["plan"]["creates"]] == ["vm2"]
    assert await bare.everything() == before


async def test_a_rollback_returns_to_what_was_before(bare: Site) -> None:
    await send(bare, written(content(1)), force="true", **YES)
    await send(bare, written(content(2)), force="true", **YES)
    answer = await bare.ask("POST", "/rollback", {**YES, "force": "true"})
    assert answer.status == 200, answer.body
    assert await names(bare) == ["vm1"]
    shown = (await bare.ask("GET", "/generations")).body
    assert [(one["generation"], one["made"], one["in_force"]) for one in shown][-1] == ("4", "rollback", True)
    assert (await bare.ask("DELETE", "/generations/2")).status == 200


async def test_an_initialised_cluster_is_initialised_again_only_to_be_overwritten(bare: Site) -> None:
    assert (await bare.ask("POST", "/initialize", YES)).status == 200
    answer = await bare.ask("POST", "/initialize", YES)
    assert (answer.status, answer.code) == (409, "conflict")
    answer = await bare.ask("POST", "/initialize", {**YES, "overwrite": "true"})
    assert (answer.body["generation"], answer.body["previous"]) == ("3", "2")


async def test_parts_of_the_host_are_restored_only_where_they_are_allowed(bare: Site) -> None:
    disk = "<disk type='file'><source file='/etc/shadow'/><target dev='vda'/></disk>"
    [vm] = content(1).vms
    xml = documents.vm("vm1", uuid=vm.uuid, devices=[disk])
    evil = Content.ordered([], content(1).nodes, [replace(vm, xml=xml)])
    answer = await send(bare, written(evil), force="true", **YES)
    assert (answer.status, answer.code) == (403, "not_permitted")


async def test_neither_tokens_nor_their_digests_are_in_a_backup(bare: Site) -> None:
    answer = await bare.ask("GET", "/backup")
    assert not any(
        secret in json.dumps(answer.body) for role in Role for secret in (TOKENS[role], digest(TOKENS[role]))
    )


OPENS = {"X-Pvc-Passphrase": "correct horse über battery"}


@pytest.fixture
def cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    """What takes a guesser long would take the tests long."""
    monkeypatch.setattr(sealing, "_N", 16)


async def locked(site: Site) -> bytes:
    answer = await site.ask("GET", "/backup", {"secrets": "true"}, headers=OPENS)
    assert (answer.status, answer.headers["Cache-Control"]) == (200, "no-store")
    return json.dumps(answer.body).encode()


async def test_tokens_come_back_by_the_passphrase_and_are_good_at_once(bare: Site, cheap: None) -> None:
    saved = await locked(bare)
    assert digest(TOKENS[Role.READ]).encode() not in saved
    for role in (Role.READ, Role.OPERATE):
        await bare.ask("DELETE", f"/tokens/{role}")
    await bare.ask("POST", "/tokens", {"name": "operate", "role": "read"})
    params = {"force": "true", **YES}
    answer = await bare.ask("POST", "/restore", params, data=saved, headers={"Content-Type": DOCUMENT, **OPENS})
    assert answer.status == 200, answer.body
    assert [one["name"] for one in answer.body["plan"]["creates"] if one["kind"] == "token"] == ["read"]
    assert answer.body["notes"] == ['These tokens are there, and stay as they are: "admin", "operate".']
    assert (await bare_get(bare, TOKENS[Role.READ]), await bare_get(bare, TOKENS[Role.OPERATE])) == (200, 401)


async def bare_get(site: Site, token: str) -> int:
    url = f"http://127.0.0.1:{site.port}{BASE}/node"
    async with site.network.request("GET", url, headers={"X-Api-Key": token}) as answer:
        return answer.status


@pytest.mark.parametrize("dry_run", ["false", "true"])
async def test_a_wrong_passphrase_is_one_sentence_and_changes_nothing(bare: Site, cheap: None, dry_run: str) -> None:
    saved, before = await locked(bare), await bare.everything()
    wrong = {"Content-Type": DOCUMENT, "X-Pvc-Passphrase": "correct mule uber battery"}
    params = {"dry_run": dry_run, "force": "true", **YES}
    answer = await bare.ask("POST", "/restore", params, data=saved, headers=wrong)
    assert (answer.status, answer.code, list(answer.fields)) == (400, "invalid_input", ["passphrase"])
    assert await bare.everything() == before
    assert [one["generation"] for one in (await bare.ask("GET", "/generations")).body] == ["1"]


async def test_without_the_passphrase_all_but_the_secrets_is_restored(bare: Site, cheap: None) -> None:
    saved = await locked(bare)
    await bare.ask("DELETE", "/tokens/read")
    answer = await send(bare, saved, force="true", **YES)
    assert answer.body["notes"] == ["The secrets of the backup are not restored: no passphrase was given."]
    assert await bare_get(bare, TOKENS[Role.READ]) == 401


async def test_a_token_that_cannot_be_read_is_told_without_its_content(bare: Site, cheap: None) -> None:
    await bare.state.store.commit(Create(f"{FOLDER}/odd", b'{"digest":"sha256:odd"'))
    answer = await bare.ask("GET", "/backup", {"secrets": "true"}, headers=OPENS)
    assert [(one["kind"], one["name"], one["value"]) for one in answer.body["unread"]] == [("token", "odd", "")]


@pytest.mark.parametrize(("secrets", "headers"), [("true", {}), ("false", OPENS)])
async def test_secrets_and_a_passphrase_are_asked_for_together(
    bare: Site, secrets: str, headers: dict[str, str]
) -> None:
    answer = await bare.ask("GET", "/backup", {"secrets": secrets}, headers=headers)
    assert (answer.status, list(answer.fields)) == (400, ["X-Pvc-Passphrase"])


async def test_a_passphrase_is_in_no_log(bare: Site, cheap: None, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("DEBUG"):
        await locked(bare)
    assert "GET /api/v1/backup 200" in caplog.text
    assert "correct" not in caplog.text


@pytest.mark.parametrize(
    ("address", "near"),
    [
        ("127.0.0.1", True),
        ("::1", True),
        ("::ffff:127.0.0.1", True),
        ("10.0.0.1", False),
        ("fe80::1%eth0", False),
        ("::ffff:10.0.0.1", False),
    ],
)
def test_a_passphrase_is_taken_where_nobody_on_the_network_reads_it(address: str, near: bool) -> None:
    assert is_near(Peer(address)) == near


class Peer:
    """A socket as far as it matters."""

    family = socket.AF_INET6

    def __init__(self, address: str) -> None:
        self._address = address

    def getpeername(self) -> tuple[str, int]:
        return self._address, 1


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "backup"), ("POST", "restore"), ("POST", "initialize"), ("POST", "rollback")]
)
async def test_it_takes_an_administrator(bare: Site, method: str, path: str) -> None:
    url = f"http://127.0.0.1:{bare.port}{BASE}/{path}"
    async with bare.network.request(method, url, headers={"X-Api-Key": TOKENS[Role.OPERATE]}) as answer:
        assert answer.status == 403


async def test_who_begins_anew_is_answered_when_the_agents_of_before_are_back(site: Site) -> None:
    answer = await site.ask("POST", "/initialize", {**YES, "overwrite": "true"})
    assert answer.message == 'Initialized the cluster as generation "2"; generation "1" is kept.'
    assert [one["daemon_state"] for one in (await site.ask("GET", "/node")).body] == ["run"]


async def test_agents_that_do_not_come_back_are_named(bare: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recovery, "_REJOIN_S", 0.0)
    await nodes.join(bare.state, Node(name="hv1"))
    await nodes.publish(bare.state, "hv1", NodeStatus(daemon=DaemonState.RUN))
    answer = await bare.ask("POST", "/initialize", {**YES, "overwrite": "true"})
    assert answer.message.endswith('is kept. These nodes have not rejoined yet: "hv1".')


async def test_a_node_that_a_backup_does_not_know_is_said_to_join_again(bare: Site) -> None:
    await nodes.join(bare.state, Node(name="hv2"))
    await nodes.publish(bare.state, "hv2", NodeStatus(daemon=DaemonState.RUN))
    answer = await send(bare, written(content(1)), dry_run="true")
    assert 'Node "hv2" is not in it; its agent joins again by itself.' in answer.body["notes"]
