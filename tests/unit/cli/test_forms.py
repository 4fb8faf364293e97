"""Lists in the forms that programs read, with the columns that are asked for."""

from __future__ import annotations

import csv
import io
import json
import subprocess
from queue import SimpleQueue

import pytest
import yaml as reader  # type: ignore[import-untyped]
from hypothesis import given
from hypothesis import strategies as st

from pvc.cli.forms import yaml
from tests.unit.cli.answers import NODE, WEB1
from tests.unit.cli.calling import PVC
from tests.unit.cli.fake_api import Answer, FakeAPI

_LISTED = [
    {"name": "ops", "role": "admin", "created_by": 'a "b", c', "created_at": 0, "problem": ""},
    {"name": "no", "role": "read", "created_by": "local", "created_at": 0, "problem": None},
]


@pytest.fixture
def listing(pvc: PVC, api: FakeAPI) -> PVC:
    api.tell("GET /tokens", Answer(_LISTED))
    return pvc


def test_csv_has_what_the_table_has(listing: PVC) -> None:
    rows = list(csv.reader(io.StringIO(listing("token", "list", "-f", "csv").stdout)))
    assert rows[0] == ["NAME", "ROLE", "MADE BY", "MADE", "PROBLEM"]
    assert rows[1] == ["ops", "admin", 'a "b", c', "", ""]


def test_raw_is_names_alone_or_what_is_asked_for(listing: PVC) -> None:
    assert listing("token", "list", "-f", "raw").stdout == "ops\nno\n"
    assert listing("token", "list", "-f", "raw", "--columns", "role,name").stdout == "admin\tops\nread\tno\n"


def test_columns_are_chosen_and_ordered_by_name(listing: PVC) -> None:
    assert listing("token", "list", "--columns", "Role, name").stdout == "ROLE   NAME\nadmin  ops\nread   no\n"
    assert listing("token", "list", "--columns", "role", "--no-headers").stdout == "admin\nread\n"


def test_a_column_that_does_not_exist_is_told_with_those_that_do(listing: PVC) -> None:
    result = listing("token", "list", "--columns", "age")
    assert result.returncode == 2
    assert result.stderr == 'No column "age": there are name, role, made by, made, problem.\n'


def test_csv_is_for_lists(pvc: PVC) -> None:
    assert pvc("status", "-f", "csv").returncode == 2


@pytest.mark.parametrize("line", ["token list", "node info hv1"])
def test_yaml_says_what_json_says(listing: PVC, line: str) -> None:
    of_yaml, of_json = (listing(*line.split(), "-f", form).stdout for form in ("yaml", "json"))
    assert reader.safe_load(of_yaml) == json.loads(of_json)


def test_the_node_of_the_tests_has_something_nested() -> None:
    assert any(isinstance(value, dict) for value in NODE.values())


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(st.characters(codec="utf-8", exclude_categories=["C"])),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["a", "no", "on", "a b", "1"]), inner),
    max_leaves=8,
)


@given(values)
def test_whatever_is_written_as_yaml_is_read_back(value: object) -> None:
    assert reader.safe_load("\n".join(yaml(value))) == value


@pytest.mark.parametrize("line", ["vm tag add web1 a -q", "vm start web1 -q"])
def test_quiet_says_nothing_of_what_was_done(pvc: PVC, line: str) -> None:
    result = pvc(*line.split())
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


def test_a_watched_list_is_shown_again(listing: PVC) -> None:
    process = listing.start("token", "list", "--watch", "-f", "raw", stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert [process.stdout.readline() for _ in range(4)] == [b"ops\n", b"no\n", b"\n", b"ops\n"]
    process.terminate()
    process.communicate()


def test_a_watched_list_is_shown_again_when_something_happened_to_it(pvc: PVC, api: FakeAPI) -> None:
    more: SimpleQueue[bytes] = SimpleQueue()
    api.tell("GET /events", Answer(b"retry: 2000\nid: 1\n\n", endless=True, more=more))
    api.tell("GET /vm", *(Answer([{"name": name}]) for name in ("web1", "web2", "web3")))
    process = pvc.start("vm", "list", "--watch", "-f", "raw", stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"web1\n"
    more.put(b"id: 2\nev")
    more.put(b'ent: vm\ndata: {"name": "web2"}\n\n' * 3)
    assert [process.stdout.readline() for _ in range(2)] == [b"\n", b"web2\n"]
    more.put(b":\nid: 3\n\n")
    process.terminate()
    more.put(b"")
    assert process.communicate()[0] == b""
    assert api.requests[0].query == {"follow": ["true"], "kind": ["vm", "node", "network"]}


def test_a_watched_list_ends_with_the_server_and_says_why(pvc: PVC) -> None:
    result = pvc("vm", "list", "--watch", "-c", "unix:/nowhere")
    assert (result.returncode, result.stdout) == (5, "")
    assert result.stderr.startswith('No pvc serve answers at "unix:/nowhere"')


@pytest.mark.parametrize(
    ("asked", "status"), [({}, "running"), ({"cancel": True}, "running, to be cancelled")], ids=["not", "asked"]
)
def test_a_migration_is_shown_with_where_it_goes_and_that_its_end_was_asked_for(
    pvc: PVC, api: FakeAPI, asked: dict[str, object], status: str
) -> None:
    task = {"id": "t", "kind": "migrate", "name": "web1", "status": "running", "node": "hv1", "to": "hv2", **asked}
    api.tell("GET /tasks", Answer([task]))
    api.tell("GET /tasks/t", Answer(task))
    [_, row] = csv.reader(io.StringIO(pvc("task", "list", "-f", "csv").stdout))
    assert {status, "hv1", "hv2"} <= set(row)
    shown = {line.split("  ")[0]: line.split("  ")[-1].strip() for line in pvc("task", "show", "t").stdout.splitlines()}
    assert (shown["Node"], shown["To node"], shown["Status"]) == ("hv1", "hv2", status)


@pytest.mark.parametrize(
    ("meta", "method", "downtime"),
    [
        ({"migration_method": "none"}, "none (live, else shutdown)", ""),
        ({"migration_method": "live"}, "live", "250 ms"),
    ],
)
def test_how_a_vm_moves_is_told_in_words(
    pvc: PVC, api: FakeAPI, meta: dict[str, object], method: str, downtime: str
) -> None:
    longest = {"migration_max_downtime": 250} if downtime else {}
    api.tell("GET /vm/web1", Answer([{**WEB1, **meta, **longest}]))
    lines = pvc("vm", "info", "web1").stdout.splitlines()
    assert [line.partition("  ")[2].strip() for line in lines if line.startswith("Migration  ")] == [method]
    found = [line.partition("  ")[2].strip() for line in lines if line.startswith("Longest downtime")]
    assert found == ([downtime] if downtime else [])
