"""The page for Prometheus, and the dashboard that is made of it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from pvc.cluster import nodes
from pvc.errors import PoolUnavailable
from pvc.model.records import (
    VM,
    CPUUse,
    DaemonState,
    DiskUse,
    MemoryUse,
    NicUse,
    Node,
    NodeStatus,
    Observed,
    Power,
    Role,
    Use,
    encode,
)
from pvc.server.exposition import Histogram, Metric, Page, Type
from pvc.server.metrics import METRICS
from pvc.server.parts import CONFIG, POOLS
from pvc.server.session import SESSION
from pvc.store.base import Create
from tests.parts import documents
from tests.unit.server.site import BASE, NODE, TOKENS, Site

DASHBOARD = Path(__file__).parents[3] / "packaging" / "grafana" / "pvc.json"
SAMPLE = re.compile(r'([a-z_]+)(?:\{((?:[a-z_]+="(?:[^"\\\n]|\\.)*",?)*)\})? ([0-9.e+-]+)')


async def scrape(site: Site) -> str:
    async with site.client.get("http://pvc/metrics") as answer:
        assert answer.status == 200
        assert answer.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
        return await answer.text()


async def samples(site: Site) -> dict[str, float]:
    """By name with labels. Each line has the one form, and each metric its head, once."""
    found: dict[str, float] = {}
    heads: list[str] = []
    for line in (await scrape(site)).splitlines():
        if line.startswith("#"):
            heads += [line.split()[2]] if line.startswith("# TYPE") else []
            continue
        match = SAMPLE.fullmatch(line)
        assert match is not None, line
        assert re.sub("_(bucket|sum|count)$", "", match[1]) == heads[-1]
        key = line.rpartition(" ")[0]
        assert key not in found
        found[key] = float(match[3])
    assert len(heads) == len(set(heads))
    return found


@pytest.fixture
async def busy(bare: Site) -> Site:
    """A node that runs a VM and tells what it uses."""
    await nodes.join(bare.state, Node(name=NODE))
    await nodes.publish(bare.state, NODE, NodeStatus(daemon=DaemonState.RUN))
    await bare.ask("POST", "/network", {"vni": 100, "description": "lan", "nettype": "bridged"})
    uuid = await bare.define("web1", documents.nic("52:54:00:00:00:09"))
    use = Use(
        memory=MemoryUse(rss=2048),
        cpu=CPUUse(cpu_time=2_500_000_000),
        nics={"52:54:00:00:00:09": NicUse(rd_bytes=7, wr_bytes=8)},
        disks={"vda": DiskUse(rd_bytes=1, wr_bytes=2, rd_req=3)},
    )
    seen = {uuid: Observed(power=Power.RUNNING)}
    status = NodeStatus(daemon=DaemonState.RUN, vms=seen, use={uuid: use}, load=0.5, cpu_count=8, memory_total=1 << 34)
    await nodes.publish(bare.state, NODE, status)
    return bare


async def test_the_cluster_is_told_in_numbers(busy: Site) -> None:
    found = await samples(busy)
    own = f'vm="web1",node="{NODE}"'
    expected = {
        "pvc_store_up": 1,
        "pvc_cluster_health": 100,
        "pvc_cluster_alarm": 0,
        f'pvc_node_up{{node="{NODE}"}}': 1,
        f'pvc_node_load{{node="{NODE}"}}': 0.5,
        f'pvc_node_memory_bytes{{node="{NODE}"}}': 1 << 34,
        f"pvc_vm_running{{{own}}}": 1,
        f"pvc_vm_memory_bytes{{{own}}}": 64 << 20,
        f"pvc_vm_memory_rss_bytes{{{own}}}": 2 << 20,
        f"pvc_vm_cpu_seconds_total{{{own}}}": 2.5,
        f'pvc_vm_network_receive_bytes_total{{{own},mac="52:54:00:00:00:09"}}': 7,
        f'pvc_vm_disk_written_bytes_total{{{own},dev="vda"}}': 2,
        'pvc_vms{state="shutdown"}': 1,
        'pvc_pool_up{pool="local"}': 1,
        'pvc_osds{state="up,out"}': 1,
    }
    assert {name: found.get(name) for name in expected} == expected
    assert f'pvc_vm_disk_writes_total{{{own},dev="vda"}}' not in found


async def test_what_is_wrong_is_counted_and_no_alarm_in_maintenance(busy: Site) -> None:
    await nodes.publish(busy.state, NODE, NodeStatus(daemon=DaemonState.RUN, strays=("old",)))
    await busy.ask("GET", "/vm", headers={"X-PVC-Revision": str(busy.state.store.revision)})
    found = await samples(busy)
    assert (found["pvc_cluster_alarm"], found['pvc_cluster_reasons{kind="node"}']) == (1, 1)
    await busy.ask("POST", "/status", {"state": "true"})
    found = await samples(busy)
    assert (found["pvc_cluster_alarm"], found["pvc_cluster_maintenance"], found["pvc_cluster_health"]) == (0, 1, 90)


async def test_answers_are_counted_by_path_and_status_and_made_up_paths_are_one(bare: Site) -> None:
    for path in ("/vm/web1", "/vm/web2", "/nonsense/1", "/nonsense/2"):
        assert (await bare.ask("GET", path)).status == 404
    found = await samples(bare)
    labels = f'method="GET",path="{BASE}/vm/{{vm}}",status="404"'
    assert found[f"pvc_api_request_seconds_count{{{labels}}}"] == 2
    assert found[f'pvc_api_request_seconds_bucket{{{labels},le="+Inf"}}'] == 2
    assert found['pvc_api_request_seconds_count{method="GET",path="unknown",status="404"}'] == 2
    assert not [name for name in found if "web1" in name or "nonsense" in name]


@pytest.mark.parametrize("multipart", [False, True])
async def test_what_is_uploaded_is_counted(bare: Site, multipart: bool) -> None:
    await bare.pool.create("disk0", 1 << 20)
    form = aiohttp.FormData()
    form.add_field("file", b"x" * 1000, filename="disk")
    path, raw = "/storage/ceph/volume/local/disk0/upload", {"image_format": "raw"}
    answer = await bare.ask("POST", path, raw, data=form if multipart else b"x" * 1000)
    assert answer.status == 200, answer.body
    found = await samples(bare)
    assert (found["pvc_upload_bytes_total"], found["pvc_uploads"]) == (1000, 0)
    assert found['pvc_tasks{kind="upload",status="done"}'] == 1


class Silent:
    def __init__(self, pool: Any) -> None:
        self._pool = pool

    async def statistics(self) -> None:
        raise PoolUnavailable(name="local", reason="no answer")

    def __getattr__(self, name: str) -> Any:
        return getattr(self._pool, name)


async def test_a_silent_pool_is_down_and_everything_else_is_told(busy: Site) -> None:
    pools: Any = busy.app[POOLS]
    pools["local"] = Silent(busy.pool)
    found = await samples(busy)
    assert (found['pvc_pool_up{pool="local"}'], found["pvc_cluster_health"]) == (0, 50)
    assert 'pvc_pool_bytes{pool="local"}' not in found
    pools["local"] = busy.pool


async def test_without_the_store_the_server_tells_of_itself(bare: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bare.app[SESSION], "_present", None)
    found = await samples(bare)
    assert found["pvc_store_up"] == 0
    assert "pvc_uploads" in found
    assert "pvc_cluster_health" not in found


async def test_a_name_that_would_break_the_page_is_escaped(bare: Site) -> None:
    vm = VM(uuid="9f6b2d4e-0000-4000-8000-000000000001", name='a"b\\c\nd', xml="", node=NODE)
    await bare.state.store.commit(Create(bare.state.paths.vm(vm.uuid), encode(vm)))
    await bare.ask("GET", "/vm", headers={"X-PVC-Revision": str(bare.state.store.revision)})
    found = await samples(bare)
    assert f'pvc_vm_running{{vm="a\\"b\\\\c\\nd",node="{NODE}"}}' in found


@pytest.mark.parametrize("header", ["X-Api-Key", "Authorization"])
async def test_metrics_take_a_token_unless_they_are_opened(bare: Site, header: str) -> None:
    url = f"http://127.0.0.1:{bare.port}/metrics"
    value = TOKENS[Role.READ] if header == "X-Api-Key" else f"Bearer {TOKENS[Role.READ]}"
    for headers, status in (({}, 401), ({header: "Bearer wrong"}, 401), ({header: value}, 200)):
        async with bare.network.get(url, headers=headers) as answer:
            assert answer.status == status


async def test_opened_metrics_open_nothing_else(bare: Site) -> None:
    config = bare.app[CONFIG]
    object.__setattr__(config.api, "open_metrics", True)
    for path, status in (("/metrics", 200), (f"{BASE}/vm", 401), ("/metrics/", 401)):
        async with bare.network.get(f"http://127.0.0.1:{bare.port}{path}") as answer:
            assert answer.status == status


def test_a_histogram_counts_up_to_each_bound() -> None:
    page, histogram = Page([Metric("h", Type.HISTOGRAM, "Help.", ("a",))]), Histogram((0.1, 1))
    for value in (0.05, 0.1, 0.5, 7):
        histogram.note(value)
    page.add_histogram("h", histogram, "x")
    [text] = page.pieces()
    assert text.decode().splitlines()[2:] == [
        'h_bucket{a="x",le="0.1"} 2',
        'h_bucket{a="x",le="1"} 3',
        'h_bucket{a="x",le="+Inf"} 4',
        'h_sum{a="x"} 7.65',
        'h_count{a="x"} 4',
    ]


def expressions(panel: Any) -> list[str]:
    if isinstance(panel, dict):
        own = [panel["expr"]] if "expr" in panel else []
        return own + [found for value in panel.values() for found in expressions(value)]
    return [found for value in panel for found in expressions(value)] if isinstance(panel, list) else []


def test_every_metric_of_the_dashboard_exists_with_its_labels() -> None:
    told = {metric.name: metric for metric in METRICS}
    dashboard = json.loads(DASHBOARD.read_text())
    asked = expressions(dashboard["panels"])
    assert len(asked) >= len(dashboard["panels"])
    for expression in [*asked, *(one["query"] for one in dashboard["templating"]["list"] if one["type"] == "query")]:
        names = {re.sub("_(bucket|sum|count)$", "", name) for name in re.findall(r"\bpvc_\w+", expression)}
        assert names, expression
        assert names <= set(told), expression
        labels = {label for name in names for label in told[name].labels} | {"le", "instance", "job"}
        grouped = re.findall(r"(?:by|without) ?\(([^)]*)\)", expression)
        used = {label.strip() for group in grouped for label in group.split(",")}
        used |= set(re.findall(r"[{,]\s*(\w+)\s*(?:=|!)", expression))
        assert used <= labels, expression


def test_no_metric_is_declared_and_never_told() -> None:
    source = (Path(__file__).parents[3] / "pvc" / "server" / "metrics.py").read_text()
    for metric in METRICS:
        assert source.count(f'"{metric.name}"') >= 2 or metric.name.startswith("pvc_node_memory_"), metric.name
