"""Configuration: typed, all problems at once, shown as it is in force."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pvc import cephconfig, config
from pvc.config import Config, ConfigProblems
from pvc.model.names import problem_with

CLUSTER = "store.kind = 'zookeeper'\n"
BARE = f"{CLUSTER}store.unprotected = true\n"
OPEN = f"{BARE}store.hosts = ['zk:1']\n"
CLOSED = f"{CLUSTER}store.hosts = ['zk:1']\nstore.password_file = '/x'\n"
ONE_ADDRESS = "agent.listen must name the one address at which servers reach this machine."
TLS_TOGETHER = "store.tls_certificate and store.tls_key must be given together."


def problems_of(text: str) -> list[str]:
    with pytest.raises(ConfigProblems) as caught:
        config.parse(text)
    return caught.value.problems


def test_nothing_at_all_is_the_default() -> None:
    assert config.parse("") == Config()
    assert Config().standalone


def test_unknown_keys_are_refused_by_their_full_name() -> None:
    assert problems_of("nonsense = 1\n[api]\nsokcet = 'x'\n[pools.local]\npath = '/x'\nsize = 1\n[what]\n") == [
        "nonsense is not a known key.",
        "what is not a known key.",
        'api.sokcet is not a known key. Similar: "socket".',
        'pools."local".size is not a known key.',
    ]


def test_a_pool_is_a_folder_unless_its_kind_says_otherwise() -> None:
    text = "[pools.here]\npath = '/x'\n[pools.ceph]\nkind = 'rbd'\npool = 'vms'\nop_timeout_s = 5\n"
    assert config.parse(text).pools == {
        "here": config.DirectoryPool(path="/x"),
        "ceph": cephconfig.RBDPool(pool="vms", op_timeout_s=5.0),
    }


def test_a_pool_of_the_ceph_cluster_is_reached_as_the_cluster_is() -> None:
    ceph = config.parse("[ceph]\nconf = '/c'\nuser = 'u'\nkeyring = '/k'\nadmin = 'a'\nadmin_keyring = '/a'").ceph
    assert ceph.pool("vms") == cephconfig.RBDPool(pool="vms", conf="/c", user="u", keyring="/k")
    assert (ceph.as_admin().user, ceph.as_admin().keyring) == ("a", "/a")
    assert cephconfig.Ceph(conf="/c", user="u").as_admin().user == "u"


def test_the_keys_of_one_kind_of_pool_are_unknown_to_the_other() -> None:
    assert problems_of("[pools.a]\npath = '/x'\nuser = 'me'\n[pools.b]\nkind = 'rbd'\npool = 'vms'\npath = '/x'") == [
        'pools."a".user is not a known key.',
        'pools."b".path is not a known key.',
    ]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("pools.a.kind = 'nfs'", 'pools."a".kind must be "directory" or "rbd".'),
        ("agent.memory_reserve_mib = -1", "agent.memory_reserve_mib must not be negative."),
        (
            "placement.selector = 'none'",
            'placement.selector must be "mem", "memprov", "vcpus", "load" or "vms".',
        ),
        ("pools.a.kind = 1", 'pools."a".kind must be "directory" or "rbd".'),
        ("pools.a.kind = 'rbd'", 'pools."a".pool must have only letters, digits, dots, dashes or underscores.'),
        ("pools.a = {kind = 'rbd', pool = 'v', conf = 'x'}", 'pools."a".conf must be an absolute file name.'),
        ("pools.a = {kind = 'rbd', pool = 'v', keyring = 'x'}", 'pools."a".keyring must be an absolute file name.'),
        ("pools.a = {kind = 'rbd', pool = 'v', op_timeout_s = 0}", 'pools."a".op_timeout_s must be at least 1.'),
        ("pools.a = {kind = 'rbd', pool = 'v', list_age_s = -1}", 'pools."a".list_age_s must not be negative.'),
        ("ceph.conf = 'x'", "ceph.conf must be an absolute file name."),
        (
            "ceph = {conf = '/c', user = 'a/b'}",
            "ceph.user must have only letters, digits, dots, dashes or underscores.",
        ),
        (
            "ceph = {conf = '/c', admin = 'a b'}",
            "ceph.admin must have only letters, digits, dots, dashes or underscores.",
        ),
        ("ceph = {conf = '/c', admin_keyring = 'x'}", "ceph.admin_keyring must be an absolute file name."),
        ("ceph = {conf = '/c', op_timeout_s = 0}", "ceph.op_timeout_s must be at least 1."),
        (
            "ceph.conf = '/c'\npools.a = {kind = 'rbd', pool = 'v'}",
            'pools."a" must not be of kind "rbd" beside [ceph], whose pools are there by themselves.',
        ),
        ("log_level = 1", "log_level must be a text."),
        ("log_level = 'loud'", 'log_level must be "debug", "info" or "warning".'),
        ("api = 1", "api must be a table."),
        ("pools = 1", "pools must be a table."),
        ("pools.local = 1", 'pools."local" must be a table.'),
        ("pools.local.path = 'here'", 'pools."local".path must be an absolute folder name.'),
        ("pools.'a/b'.path = '/x'", 'pools."a/b" must be named with letters, digits, dots, dashes or underscores.'),
        ("agent.node = 'a/b'", "agent.node must have only letters, digits, dots, dashes or underscores."),
        ("agent.listen = '10.0.0.1:7371'", 'agent.listen is for a cluster (store.kind = "zookeeper").'),
        (f"{OPEN}agent.listen = '10.0.0.1'", 'agent.listen must be written as "ADDRESS:PORT".'),
        (f"{OPEN}agent.listen = '0.0.0.0:7371'", ONE_ADDRESS),
        (f"{OPEN}agent.listen = '[::]:7371'", ONE_ADDRESS),
        ("agent.log_path = 'here'", "agent.log_path must be an absolute file name."),
        ("agent.log_bytes = 1", "agent.log_bytes must be at least 1048576."),
        ("agent.interval_s = 'soon'", "agent.interval_s must be a number."),
        ("agent.interval_s = true", "agent.interval_s must be a number."),
        ("agent.interval_s = nan", "agent.interval_s must be a number."),
        ("agent.interval_s = inf", "agent.interval_s must be a number."),
        ("agent.interval_s = 0", "agent.interval_s must be more than 0."),
        ("migration.flush_at_once = 0", "migration.flush_at_once must be more than 0."),
        ("migration.stall_s = 0", "migration.stall_s must be more than 0."),
        ("upload.most_at_once = 1.5", "upload.most_at_once must be a whole number."),
        ("upload.most_at_once = true", "upload.most_at_once must be a whole number."),
        ("upload.largest_bytes = -1", "upload.largest_bytes must be more than 0."),
        ("hypervisor.allow_host_devices = 1", "hypervisor.allow_host_devices must be true or false."),
        ("hypervisor.domain_type = 'xen'", 'hypervisor.domain_type must be "auto", "kvm" or "qemu".'),
        ("hypervisor.hotplug_slots = 99", "hypervisor.hotplug_slots must be 0 to 24."),
        (
            "hypervisor.more_devices = ['disks']",
            'hypervisor.more_devices has "disks", which is none of rng, watchdog, input, channel, vsock, hostdev.',
        ),
        (
            "hypervisor.more_devices = ['hostdev']",
            'hypervisor.more_devices may have "hostdev" only where hypervisor.allow_host_devices is true.',
        ),
        ("store.hosts = 'zk:2181'", "store.hosts must be a list of texts."),
        ("store.hosts = [1]", "store.hosts must be a list of texts."),
        ("store.kind = 'etcd'", 'store.kind must be "embedded" or "zookeeper".'),
        (BARE, "store.hosts must name at least one ZooKeeper server."),
        (
            "store = {kind = 'zookeeper', hosts = ['zk:1']}",
            "store.user and store.password_file must be given, or store.unprotected = true, which leaves the whole "
            "cluster to everybody who reaches ZooKeeper.",
        ),
        (f"{OPEN}store.user = 'pvc'", "store.user and store.password_file must be given together."),
        (f"{OPEN}store.password_file = '/x'", "store.user and store.password_file must be given together."),
        (
            f"{OPEN}store.user = 'pvc'\nstore.password_file = '/x'",
            "store.unprotected must be false where store.user is given.",
        ),
        (
            f"{CLOSED}store.user = 'a:b'",
            "store.user must have only letters, digits, dots, dashes or underscores.",
        ),
        (f"{OPEN}store.tls_ca = '/ca'\nstore.tls_key = '/x'", TLS_TOGETHER),
        (f"{OPEN}store.tls_ca = '/ca'\nstore.tls_certificate = '/x'", TLS_TOGETHER),
        (
            f"{OPEN}store.tls_certificate = '/x'\nstore.tls_key = '/x'",
            "store.tls_certificate needs store.tls_ca.",
        ),
        ("store.session_timeout_s = 1", "store.session_timeout_s must be at least 2."),
        ("api.listen = '7370'", 'api.listen must be written as "ADDRESS:PORT".'),
        ("api.listen = 'a:70000'", 'api.listen must be written as "ADDRESS:PORT".'),
        ("api.tls_key = '/k'", "api.tls_certificate and api.tls_key must be given together."),
    ],
)
def test_a_wrong_value_is_refused_by_its_name(text: str, problem: str) -> None:
    assert problems_of(text) == [problem]


def test_every_problem_is_reported_at_once() -> None:
    text = "a = 1\nlog_level = 1\n[api]\nlisten = 'x'\n[pools.p]\npath = ''\n[agent]\ninterval_s = -1\n"
    assert problems_of(text) == [
        "a is not a known key.",
        "log_level must be a text.",
        'api.listen must be written as "ADDRESS:PORT".',
        "agent.interval_s must be more than 0.",
        'pools."p".path must be an absolute folder name.',
    ]


def test_what_is_no_toml_is_refused() -> None:
    [problem] = problems_of("= 1")
    assert problem.startswith("The configuration is not TOML: ")


def test_a_section_that_is_there_twice_is_named_with_its_file(tmp_path: Path) -> None:
    file = tmp_path / "pvc.toml"
    file.write_text("[api]\n[store]\n[api]\nlisten = '[::1]:1'\n")
    with pytest.raises(ConfigProblems) as exc:
        config.load(file)
    assert exc.value.problems == [
        f'"{file}" has the section [api] twice (at line 3, column 5): write its keys below the first.'
    ]


texts = st.text(st.characters(codec="utf-8"))


@given(listen=st.sampled_from(["", "[::1]:80"]), names=st.lists(texts, min_size=1), interval_s=st.floats(0.1, 1e20))
def test_what_is_shown_is_read_back_as_the_same(listen: str, names: list[str], interval_s: float) -> None:
    shown = Config(
        api=config.API(socket="/" + names[0], listen=listen),
        store=config.Store(path=names[-1], hosts=tuple(names)),
        pools={
            "a.b": config.DirectoryPool(path="/" + names[0]),
            "c": cephconfig.RBDPool(pool="vms", conf="/" + names[-1]),
        },
        agent=config.Agent(interval_s=interval_s),
    )
    assert config.parse(config.show(shown)) == shown


def test_everything_in_force_is_shown() -> None:
    text = config.show(Config())
    names = [item.name for part in (Config, config.API, config.Upload) for item in dataclasses.fields(part)]
    assert [name for name in names if name not in text] == []


def test_a_file_that_is_named_must_be_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    missing = tmp_path / "no.toml"
    monkeypatch.setenv("PVC_CONFIG", str(missing))
    for path in (None, missing):
        with pytest.raises(ConfigProblems) as caught:
            config.load(path)
        assert caught.value.problems == [f'"{missing}" cannot be read: No such file or directory']


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "pvc.toml"
    file.write_bytes(b"log_level = '\xff'")
    with pytest.raises(ConfigProblems) as caught:
        config.load(file)
    assert caught.value.problems == [f'"{file}" cannot be read: it is not UTF-8']


def test_the_node_is_called_after_the_host_unless_it_is_named() -> None:
    assert config.Agent(node="hv1").node_name == "hv1"
    assert config.Agent().node_name
    assert "." not in config.Agent().node_name


@pytest.mark.parametrize("name", ["a", "-a", "a-", "a" * 64, "a" * 65, "a/b", "a.b_c", "ä"])
def test_pools_and_nodes_are_named_by_the_rule_of_the_model(name: str) -> None:
    problems = list(config.Agent(node=name).problems())
    assert bool(problems) == (problem_with("node", name) is not None)
