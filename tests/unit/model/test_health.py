"""Health: points and reasons."""

from __future__ import annotations

import pytest

from pvc.model import health
from pvc.model.health import FAILED, LOST, SHORT, Alarm, Reason


def reasons(*points: int) -> list[Reason]:
    return [Reason("vm", str(number), count, "It is.") for number, count in enumerate(points)]


@pytest.mark.parametrize(
    ("points", "score", "alarm"),
    [
        ((), 100, Alarm.NONE),
        ((SHORT,), 90, Alarm.WARNING),
        ((FAILED, SHORT), 65, Alarm.WARNING),
        ((LOST,), 50, Alarm.CRITICAL),
        ((FAILED, FAILED), 50, Alarm.CRITICAL),
        ((LOST, LOST, LOST), 0, Alarm.CRITICAL),
    ],
)
def test_points_are_taken_from_a_hundred_and_few_are_a_warning(
    points: tuple[int, ...], score: int, alarm: Alarm
) -> None:
    assert health.score(reasons(*points)) == score
    assert health.alarm(reasons(*points), maintenance=False) is alarm


def test_maintenance_silences_what_is_wrong_and_nothing_else() -> None:
    assert health.alarm(reasons(LOST), maintenance=True) is Alarm.SILENCED
    assert health.alarm([], maintenance=True) is Alarm.NONE


def node(*found: tuple[str, int], domain_state: str = "ready", version: str = "1") -> list[tuple[int, str]]:
    told = health.of_node("hv1", found, domain_state=domain_state, version=version, ours="1")
    return [(one.points, one.text) for one in told]


def test_a_node_is_wrong_by_what_costs_it_health_by_its_state_and_by_its_version() -> None:
    assert node(("It answers.", 0)) == []
    assert node(("It is away.", 100), ("Odd.", 10)) == [(LOST, 'Node "hv1": It is away.'), (10, 'Node "hv1": Odd.')]
    assert node(domain_state="flushed") == [(SHORT, 'Node "hv1" takes no VMs: it is in state "flushed".')]
    assert node(version="2") == [(SHORT, 'Node "hv1" runs pvc 2, this server 1.')]
    assert node(version="") == []


def test_only_a_vm_that_cannot_run_is_wrong() -> None:
    for state in ("start", "stop", "disable", "migrate", "shutdown"):
        assert list(health.of_vm("web1", state, "")) == []
    [waiting] = health.of_vm("web1", "start", "The start is put off and tried again. No answer.")
    assert (waiting.points, "put off" in waiting.text) == (health.SHORT, True)
    assert list(health.of_vm("web1", "stop", "The guest powered itself off.")) == []
    [reason] = health.of_vm("web1", "fail", "no room")
    assert (reason.points, reason.text) == (FAILED, 'VM "web1" is in state "fail": no room.')


@pytest.mark.parametrize(
    ("free", "total", "points"), [(100, 100, []), (16, 100, []), (15, 100, [SHORT]), (5, 100, [LOST]), (0, 0, [])]
)
def test_a_pool_is_wrong_when_little_is_free(free: int, total: int, points: list[int]) -> None:
    assert [one.points for one in health.of_pool("vms", free, total)] == points


@pytest.mark.parametrize(("severity", "points"), [("HEALTH_WARN", SHORT), ("HEALTH_ERR", LOST)])
def test_ceph_is_believed(severity: str, points: int) -> None:
    [reason] = health.of_ceph("OSD_DOWN", severity, "1 osds down")
    assert (reason.name, reason.points, reason.text) == ("OSD_DOWN", points, "Ceph: 1 osds down.")


def test_a_volume_is_wrong_by_its_problem() -> None:
    assert list(health.of_volume("local/web1", "")) == []
    [reason] = health.of_volume("local/web1", "It is a folder.")
    assert (reason.points, reason.text) == (SHORT, 'Volume "local/web1": It is a folder.')
