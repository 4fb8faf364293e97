"""Names for clusters: kept in a file of the user's, and used by -c and PVC_CLUSTER."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.unit.cli.calling import PVC
from tests.unit.cli.fake_api import FakeAPI


@pytest.fixture
def mine(pvc: PVC, tmp_path: Path) -> PVC:
    return PVC(pvc.command, {**pvc.environment, "XDG_CONFIG_HOME": str(tmp_path), "PVC_URL": ""})


def test_a_cluster_is_added_listed_used_and_forgotten(mine: PVC, api: FakeAPI, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("secret\n")
    said = mine("cluster", "add", "work", api.url, "--token-file", str(token)).stdout
    assert said == f'Cluster "work" is "{api.url}".\n'
    assert (tmp_path / "pvc" / "clusters.json").stat().st_mode & 0o777 == 0o600
    [listed] = json.loads(mine("cluster", "list", "-f", "json").stdout)
    assert listed == {"name": "work", "address": api.url, "token_file": str(token), "ca": ""}

    assert mine("-c", "work", "vm", "list").returncode == 0
    assert mine("vm", "list", environment={"PVC_CLUSTER": "work"}).returncode == 0
    assert [request.headers["x-api-key"] for request in api.requests] == ["secret", "secret"]

    assert mine("cluster", "remove", "work").returncode == 0
    assert mine("cluster", "list", "-f", "raw").stdout == ""


def test_an_address_given_wins_over_the_environment(mine: PVC, api: FakeAPI) -> None:
    environment = {"PVC_CLUSTER": "unix:/nowhere", "PVC_URL": "unix:/nowhere"}
    assert mine("-c", api.url, "vm", "list", environment=environment).returncode == 0
    assert mine("vm", "list", environment={"PVC_CLUSTER": api.url, "PVC_URL": "unix:/nowhere"}).returncode == 0


def test_a_name_that_is_not_known_is_told_with_those_like_it(mine: PVC) -> None:
    mine("cluster", "add", "work", "unix:/x")
    assert mine("-c", "wrok", "vm", "list").stderr == 'No cluster "wrok". Similar: "work".\n'
    said = mine("-c", "elsewhere", "vm", "list")
    assert said.returncode == 2
    assert said.stderr == 'No cluster "elsewhere". Make it with "pvc cluster add", or give an address with -c.\n'


@pytest.mark.parametrize(("name", "address"), [("a:b", "unix:/x"), ("", "unix:/x"), ("a", "hv1"), ("a", "unix:x")])
def test_what_could_not_be_used_later_is_not_kept(mine: PVC, tmp_path: Path, name: str, address: str) -> None:
    assert mine("cluster", "add", name, address).returncode == 2
    assert not (tmp_path / "pvc").exists()


def test_a_file_that_is_damaged_is_told(mine: PVC, tmp_path: Path) -> None:
    (tmp_path / "pvc").mkdir()
    (tmp_path / "pvc" / "clusters.json").write_text("{")
    result = mine("cluster", "list")
    assert result.returncode == 2
    assert result.stderr.startswith(f'"{tmp_path}/pvc/clusters.json" is not JSON: ')
