"""From rounds of the mirror to events, and where readers are among them."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import msgspec
import pytest

from pvc.errors import InvalidInput, TooOld
from pvc.model.records import (
    VM,
    DaemonState,
    Desired,
    Maintenance,
    Network,
    Node,
    NodeStatus,
    Observed,
    Power,
    Task,
    TaskStatus,
    encode,
)
from pvc.server.feed import Feed
from pvc.store.base import Entry
from pvc.store.mirror import Round
from pvc.store.paths import MAINTENANCE, Paths

PATHS = Paths("/pvc/1")
WEB = VM(uuid="u1", name="web1", xml="<domain/>", node="hv1")


class Cluster:
    """Records by path as a mirror has them; each `change` is a round of its own unless it is `more`."""

    def __init__(self, feed: Feed, paths: Paths = PATHS) -> None:
        self.entries: dict[str, Entry] = {}
        self.feed, self.paths, self.revision = feed, paths, 10
        self._heard = feed.heard(paths)

    def put(self, **records: msgspec.Struct | None) -> None:
        """By a path whose slashes are two underscores."""
        self.write({f"{self.paths.root}/{name.replace('__', '/')}": one for name, one in records.items()})

    def write(self, records: dict[str, msgspec.Struct | bytes | None]) -> None:
        for path, record in records.items():
            before = self.entries.pop(path, None)
            if record is not None:
                value = record if isinstance(record, bytes) else encode(record)
                self.entries[path] = Entry(value, before.version + 1 if before else 0)
        self.revision += 1
        self.tell(set(records))

    def tell(self, paths: set[str], behind: int = 0) -> None:
        """behind: how much later than it began the round read."""
        self._heard(Round(paths, dict(self.entries), self.revision, self.revision + behind))

    def again(self) -> None:
        """Another session, which begins with everything."""
        self._heard = self.feed.heard(self.paths)
        self.tell(set(self.entries))


@pytest.fixture
def feed() -> Feed:
    return Feed(now=lambda: 7.0, kept=100)


@pytest.fixture
def cluster(feed: Feed) -> Cluster:
    """A node that runs a VM."""
    made = Cluster(feed)
    made.entries = {PATHS.node_alive("hv1"): Entry(b"", 0)}
    made.put(vms__u1=WEB, nodes__hv1=Node(name="hv1"), nodes__hv1__status=says(Power.RUNNING))
    return made


def says(power: Power, **more: Any) -> NodeStatus:
    return NodeStatus(daemon=DaemonState.RUN, vms={"u1": Observed(power=power)}, **more)


def told(feed: Feed, after: str | None = None) -> list[dict[str, Any]]:
    position = feed.oldest if after is None else feed.position(after)
    return [json.loads(one.text) for one in feed.after(position, 1000)]


def lines(feed: Feed, after: str | None = None) -> list[str]:
    return [f"{one['kind']} {one['name']} {one['change']}" for one in told(feed, after)]


def test_what_is_there_at_the_beginning_did_not_happen(cluster: Cluster, feed: Feed) -> None:
    assert told(feed) == []


def test_a_vm_is_told_with_what_changed_and_what_is(cluster: Cluster, feed: Feed) -> None:
    cluster.put(nodes__hv1__status=says(Power.OFF))
    [event] = told(feed)
    assert event == {
        "event": feed.id,
        "at": 7.0,
        "kind": "vm",
        "name": "web1",
        "id": "u1",
        "change": "changed",
        "changed": {"state": ["shutdown", "stop"], "power": ["running", "off"]},
        "now": {"state": "stop", "power": "off", "node": "hv1", "task": "", "failed_reason": "", "doubt": ""},
    }


def test_a_vm_comes_changes_in_what_no_fact_tells_and_goes(cluster: Cluster, feed: Feed) -> None:
    other = msgspec.structs.replace(WEB, uuid="u2", name="db1")
    cluster.put(vms__u2=other)
    cluster.put(vms__u2=msgspec.structs.replace(other, profile="large"))
    cluster.put(vms__u2=None)
    created, changed, deleted = told(feed)
    assert [one["change"] for one in (created, changed, deleted)] == ["created", "changed", "deleted"]
    assert (changed["changed"], deleted["now"]["state"]) == ({}, "stop")


def test_a_renamed_vm_is_the_same_one(cluster: Cluster, feed: Feed) -> None:
    cluster.put(vms__u1=msgspec.structs.replace(WEB, name="web2"))
    [event] = told(feed)
    assert (event["name"], event["changed"]) == ("web2", {"name": ["web1", "web2"]})


def test_a_node_that_dies_puts_its_vms_in_doubt(cluster: Cluster, feed: Feed) -> None:
    cluster.put(nodes__hv1__alive=None)
    node, vm = told(feed)
    assert (node["kind"], node["changed"]) == ("node", {"daemon_state": ["run", "dead"]})
    assert (vm["kind"], vm["changed"]["power"]) == ("vm", ["running", "unknown"])


def test_what_guests_use_is_no_event(cluster: Cluster, feed: Feed) -> None:
    cluster.put(nodes__hv1__status=says(Power.RUNNING, load=3.5, looked_at=99.0))
    assert told(feed) == []


def test_networks_tasks_and_maintenance_are_told(cluster: Cluster, feed: Feed) -> None:
    cluster.put(networks__100=Network(vni=100, description="lan", bridge="br1"))
    task = Task(id="t1", kind="upload", target=("volume", "local/web1"), name="web1")
    cluster.put(tasks__t1=task)
    cluster.put(tasks__t1=msgspec.structs.replace(task, done=5, phase="receiving"))
    cluster.put(tasks__t1=msgspec.structs.replace(task, status=TaskStatus.DONE, result="All."))
    cluster.write({MAINTENANCE: Maintenance(who="root", since=0.0)})
    cluster.write({MAINTENANCE: None})
    assert lines(feed) == [
        "network lan created",
        "task web1 created",
        "task web1 changed",
        "task web1 changed",
        "cluster maintenance created",
        "cluster maintenance deleted",
    ]
    assert told(feed)[3]["changed"]["result"] == ["", "All."]


def test_a_record_that_cannot_be_read_is_told_as_such(cluster: Cluster, feed: Feed) -> None:
    cluster.write({PATHS.vm("u1"): b"{torn"})
    [event] = told(feed)
    assert (event["name"], event["now"]) == ("u1", {"problem": "The record cannot be read."})


def test_a_vm_that_waits_to_be_started_is_told_as_the_api_shows_it(cluster: Cluster, feed: Feed) -> None:
    cluster.put(vms__u1=msgspec.structs.replace(WEB, desired=Desired.RUNNING))
    assert told(feed)[0]["changed"] == {"state": ["shutdown", "start"]}


def test_who_goes_on_with_the_same_server_misses_and_repeats_nothing(cluster: Cluster, feed: Feed) -> None:
    cluster.put(nodes__hv1__alive=None)
    first, second = told(feed)
    assert told(feed, first["event"]) == [second]
    assert told(feed, second["event"]) == []
    assert told(feed, feed.id) == []


def test_who_goes_on_with_another_server_misses_nothing(cluster: Cluster, feed: Feed) -> None:
    other = Feed()
    there = Cluster(other)
    there.entries = dict(cluster.entries)
    there.revision = cluster.revision
    there.again()
    for server in (cluster, there):
        server.put(networks__1=Network(vni=1, description="one"))
        server.put(nodes__hv1__alive=None)
    one, node, vm = told(feed)
    assert lines(other, one["event"]) == ["node hv1 changed", "vm web1 changed"]
    assert lines(other, node["event"]) == ["node hv1 changed", "vm web1 changed"]  # its round was not told as a whole
    assert lines(other, vm["event"]) == []
    assert lines(other, str(cluster.revision - 2)) == lines(other)


def test_a_round_that_read_more_than_it_promised_is_told_to_who_may_lack_it(cluster: Cluster, feed: Feed) -> None:
    """Another server told up to a revision that lies within the round."""
    cluster.entries[PATHS.network(1)] = Entry(encode(Network(vni=1, description="one")), 0)
    cluster.tell({PATHS.network(1)}, behind=5)
    assert lines(feed, str(cluster.revision + 4)) == ["network one created"]
    assert lines(feed, str(cluster.revision + 5)) == []


def test_what_was_there_at_the_beginning_may_be_newer_than_it_is_said_to_be(feed: Feed) -> None:
    cluster = Cluster(feed)
    cluster.tell(set(), behind=5)
    feed.position(str(cluster.revision + 5))
    with pytest.raises(TooOld):
        feed.position(str(cluster.revision + 4))


def test_what_is_too_old_to_go_on_from_is_refused(cluster: Cluster, feed: Feed) -> None:
    with pytest.raises(TooOld, match="after revision 3 is not known any more: read again"):
        feed.position("3")
    begun = feed.id
    for number in range(101):
        cluster.put(**{f"networks__{number}": Network(vni=number, description=f"n{number}")})
    with pytest.raises(TooOld, match="More than 100 events"):
        feed.position(begun)
    with pytest.raises(TooOld):
        feed.position(str(cluster.revision - 101))
    assert len(told(feed, str(cluster.revision - 100))) == 100


@pytest.mark.parametrize("nonsense", ["", "x", "-1", "1-2", "1-0000000g-1", "1" * 19])
def test_nonsense_is_no_place_to_go_on_from(cluster: Cluster, feed: Feed, nonsense: str) -> None:
    with pytest.raises(InvalidInput):
        feed.position(nonsense)


def test_what_happened_between_two_sessions_is_told(cluster: Cluster, feed: Feed) -> None:
    cluster.put(networks__2=Network(vni=2, description="two"))
    for path in (PATHS.vm("u1"), PATHS.network(2)):
        cluster.entries.pop(path)
    cluster.entries[PATHS.network(1)] = Entry(encode(Network(vni=1, description="one")), 0)
    cluster.revision += 5
    cluster.again()
    assert lines(feed)[1:] == ["network one created", "network two deleted", "vm web1 deleted"]
    cluster.again()
    assert len(told(feed)) == 4


def test_another_generation_is_to_be_read_anew(cluster: Cluster, feed: Feed) -> None:
    position, begun = feed.position(None), feed.id
    Cluster(feed, Paths("/pvc/2")).put(networks__1=Network(vni=1, description="one"))
    for going_on in (lambda: feed.position(begun), lambda: feed.after(position, 10)):
        with pytest.raises(TooOld, match="restored or made anew"):
            going_on()
    assert told(feed) == []


async def test_who_waits_hears_of_the_next_event_and_of_the_end(cluster: Cluster, feed: Feed) -> None:
    waiting = [asyncio.create_task(feed.more(feed.position(None))) for _ in range(3)]
    await asyncio.sleep(0)
    assert not any(one.done() for one in waiting)
    cluster.put(networks__1=Network(vni=1, description="one"))
    await asyncio.gather(*waiting)
    last = asyncio.create_task(feed.more(feed.position(None)))
    await asyncio.sleep(0)
    feed.end("it ends")
    await last
