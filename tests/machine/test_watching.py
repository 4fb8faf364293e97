"""A real guest as those see it who watch: by events, by status, by metrics."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest

from pvc.cli.client import Client
from pvc.cli.sse import blocks
from tests import guest
from tests.machine.conftest import Machine
from tests.machine.shell import Shell

pytestmark = [pytest.mark.real, pytest.mark.timeout(300)]


@pytest.fixture
def watched(machine: Machine) -> Iterator[str]:
    machine.shell.make_vm("watched", guest.build().qcow2)
    yield "watched"
    machine.shell.do("vm", "remove", "watched", "-y")


def facts(events: list[dict[str, Any]], fact: str) -> list[str]:
    """What a fact became, one after another."""
    return [event["changed"][fact][1] for event in events if fact in event["changed"]]


def happened(shell: Shell, name: str, after: str) -> list[dict[str, Any]]:
    return list(json.loads(shell.do("events", "--name", name, "--after", after, "--output", "json")))


def test_a_start_and_a_stop_are_events_in_their_order_to_who_follows_and_to_who_asks_later(
    machine: Machine, watched: str
) -> None:
    shell, seen = machine.shell, []
    with closing(Client(shell.url).stream("events", follow=True, name=[watched])) as stream:
        told = blocks(stream)
        begun = next(told)["id"]
        shell.do("vm", "start", watched)
        shell.do("vm", "stop", watched)
        for block in told:
            seen += [block["id"]] if "event" in block else []
            events = happened(shell, watched, begun)
            if facts(events, "power")[-1:] == ["off"]:
                break
    assert facts(events, "state")[:1] == ["start"]
    assert facts(events, "state")[-1] == "stop"
    assert facts(events, "power")[-2:] == ["running", "off"]
    assert seen == [event["event"] for event in events][: len(seen)]
    assert events[-1]["now"]["node"] == machine.node


def test_a_running_guest_is_in_the_metrics_and_the_cluster_is_well(machine: Machine, watched: str) -> None:
    shell = machine.shell
    shell.do("vm", "start", watched)
    used = f'pvc_vm_cpu_seconds_total{{vm="{watched}",node="{machine.node}"}}'
    shell.until(lambda: used in metrics(shell), "vm", "node")
    found = metrics(shell)
    assert f'pvc_vm_running{{vm="{watched}",node="{machine.node}"}} 1' in found
    assert f'pvc_vm_disk_read_bytes_total{{vm="{watched}",node="{machine.node}",dev="vda"}}' in found
    shell.do("status", "--check")
    shell.do("maintenance", "on")
    assert shell.ask("status")["maintenance"] == "true"
    shell.do("maintenance", "off")


def metrics(shell: Shell) -> str:
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(shell.url.removeprefix("unix:"))
        client.sendall(b"GET /metrics HTTP/1.1\r\nHost: pvc\r\nConnection: close\r\n\r\n")
        return b"".join(iter(lambda: client.recv(65536), b"")).decode()
