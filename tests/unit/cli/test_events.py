"""Events as the shell client shows them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from pvc.cli.sse import blocks
from tests.unit.cli.answers import EVENTS, STARTED
from tests.unit.cli.calling import PVC
from tests.unit.cli.fake_api import Answer, FakeAPI

LINE = "2025-01-05 12:00:00  vm       web1  state stop -> start, task - -> 6ba7\n"


def stream(*said: tuple[str, Any]) -> Answer:
    """A stream that says this and breaks off."""
    text = "retry: 2000\nid: 8-00000000-0\n\n:\n\n"
    return Answer(
        (text + "".join(f"id: 1\nevent: {name}\ndata: {json.dumps(data)}\n\n" for name, data in said)).encode()
    )


def test_filters_are_asked_of_the_server(pvc: PVC, api: FakeAPI) -> None:
    pvc("events", "--kind", "vm", "--kind", "task", "--name", "web1", "--after", "9")
    assert api.request.query == {"kind": ["vm", "task"], "name": ["web1"], "after": ["9"]}


def test_a_followed_stream_is_a_line_an_event(pvc: PVC, api: FakeAPI) -> None:
    api.tell("GET /events", stream(("vm", STARTED), ("vm", STARTED)))
    result = pvc("events", "-f")
    assert (result.returncode, result.stdout) == (5, LINE * 2)
    assert result.stderr == "The stream of events broke off; --after goes on from the last one that was had.\n"
    assert api.request.query == {"follow": ["true"]}


def test_machines_get_an_object_a_line(pvc: PVC, api: FakeAPI) -> None:
    api.tell("GET /events", stream(*((one["kind"], one) for one in EVENTS)))
    result = pvc("events", "--follow", "--output", "json")
    assert [json.loads(line) for line in result.stdout.splitlines()] == EVENTS


def test_what_was_missed_is_said_and_the_servers_end_is_the_commands(pvc: PVC, api: FakeAPI) -> None:
    missed = {"message": "It is too old: read again.", "code": "too_old"}
    ended = {"message": "This server is not available: it is being stopped", "code": "unavailable"}
    api.tell("GET /events", stream(("reload", missed), ("vm", STARTED), ("end", ended)))
    result = pvc("events", "-f")
    assert (result.returncode, result.stdout) == (5, LINE)
    assert result.stderr == f"{missed['message']}\n{ended['message']}\n"


def test_a_refusal_is_the_commands(pvc: PVC, api: FakeAPI) -> None:
    api.tell("GET /events", Answer({"message": "No.", "code": "busy", "fields": {}}, status=409))
    assert pvc("events", "-f").returncode == 4


@pytest.mark.parametrize("size", [1, 2, 7, 1000])
def test_blocks_come_whole_however_they_are_cut(size: int) -> None:
    text = b'id: 1\nevent: vm\ndata: {"a: b": 1}\n\n:\n\n\nid: 2\n\ndata: cut'
    pieces = [text[start : start + size] for start in range(0, len(text), size)]
    assert list(blocks(pieces)) == [{"id": "1", "event": "vm", "data": '{"a: b": 1}'}, {"id": "2"}]
