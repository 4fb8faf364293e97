"""What the doctor finds: nothing where nothing is wrong, else one sentence and the command that mends it."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

import pytest

from pvc.cephconfig import Ceph, RBDPool
from pvc.config import API, Agent, Config, DirectoryPool, Migration, Store
from pvc.doctor import checks
from pvc.doctor.findings import Finding, Verdict
from pvc.doctor.machine import Machine
from pvc.doctor.main import examine, here, read
from pvc.doctor.reaching import judge_libvirt
from pvc.hypervisor.base import Facts
from pvc.units import GIB
from tests.unit.cli.calling import PVC
from tests.unit.cli.conftest import api, pvc, pvc_command
from tests.unit.cli.fake_api import Answer, FakeAPI

__all__ = ["api", "pvc", "pvc_command"]

BOTH = {"serve", "agent"}
CLUSTER = Store(kind="zookeeper", hosts=("zk1:2181",), user="pvc", password_file="/etc/pvc/store.password")


class Healthy(Machine):
    """Where everything is as it should be; each test spoils one thing."""

    root, clock, jail, free = True, True, "", 100 * GIB
    missing: tuple[str, ...] = ()
    gone: tuple[str, ...] = ()
    open_files: tuple[str, ...] = ()
    addresses: tuple[str, ...] = ("10.0.0.1",)
    texts = {"/proc/cpuinfo": "flags : fpu vmx sse", "/proc/sys/kernel/unprivileged_userns_clone": "1"}  # noqa: RUF012

    def is_root(self) -> bool:
        return self.root

    def has_program(self, name: str) -> bool:
        return name not in self.missing

    def complaint_of(self, command: list[str]) -> str:
        return self.jail

    def problem_reading(self, path: str) -> str:
        return "No such file or directory" if path in self.gone else ""

    def is_open_to_others(self, path: str) -> bool:
        return path in self.open_files

    def text(self, path: str) -> str:
        return self.texts[path]

    def exists(self, path: str) -> bool:
        return path not in self.gone

    def space(self, folder: str) -> tuple[int, int]:
        return self.free, 1000 * GIB

    def has_address(self, address: str) -> bool:
        return address in self.addresses

    def clock_follows(self) -> bool:
        return self.clock


def bad(findings: Iterable[Finding]) -> list[tuple[str, Verdict, str]]:
    return [(found.check, found.verdict, found.mend) for found in findings if found.verdict is not Verdict.OK]


def spoilt(**wrong: object) -> Machine:
    machine = Healthy()
    vars(machine).update(wrong)
    return machine


def test_nothing_is_found_where_nothing_is_wrong() -> None:
    assert bad(here(spoilt(free=500 * GIB), Config(), BOTH)) == []


@pytest.mark.parametrize(
    ("spoils", "check", "verdict", "mend"),
    [
        ({"root": False}, "root", Verdict.WRONG, "sudo pvc doctor"),
        ({"missing": ("qemu-img",)}, "qemu-img", Verdict.WRONG, "apt-get install qemu-utils"),
        ({"missing": ("bwrap",)}, "bwrap", Verdict.WRONG, "apt-get install bubblewrap"),
        ({"missing": ("openssl",)}, "openssl", Verdict.WRONG, "apt-get install openssl"),
        (
            {"missing": ("qemu-system-x86_64",)},
            "qemu-system-x86_64",
            Verdict.WRONG,
            "apt-get install qemu-system-x86",
        ),
        ({"jail": "No permissions"}, "namespaces", Verdict.WRONG, "sysctl user.max_user_namespaces=10000"),
        ({"gone": ("/dev/kvm",)}, "kvm", Verdict.WARNING, "modprobe kvm_intel"),
        ({"texts": {"/proc/cpuinfo": "flags : fpu"}}, "kvm", Verdict.WARNING, ""),
        ({"clock": False}, "clock", Verdict.WARNING, "apt-get install systemd-timesyncd"),
    ],
)
def test_each_thing_that_is_wrong_is_found_with_what_mends_it(
    spoils: dict[str, object], check: str, verdict: Verdict, mend: str
) -> None:
    found = bad(here(spoilt(**{"free": 500 * GIB, **spoils}), Config(), BOTH))
    assert found == [(check, verdict, mend)]


def test_namespaces_that_debian_switches_off_are_switched_on_by_its_own_switch() -> None:
    texts = {"/proc/sys/kernel/unprivileged_userns_clone": "0"}
    [found] = checks.namespaces(spoilt(jail="x", texts=texts))
    assert found.mend == "sysctl kernel.unprivileged_userns_clone=1"


def test_post_copy_needs_the_kernels_leave_only_where_it_is_asked_for() -> None:
    asked, switch = Config(migration=Migration(post_copy=True)), "/proc/sys/vm/unprivileged_userfaultfd"
    for value, verdict in (("0\n", Verdict.WARNING), ("", Verdict.WARNING), ("1\n", Verdict.OK)):
        machine = spoilt(texts={switch: value})
        assert [found.verdict for found in checks.post_copy(machine, asked)] == [verdict]
        assert list(checks.post_copy(machine, Config())) == []


@pytest.mark.parametrize(
    ("free", "verdict"), [(500 * GIB, Verdict.OK), (20 * GIB, Verdict.WARNING), (GIB // 8, Verdict.WRONG)]
)
def test_space_is_judged_where_volumes_records_and_consoles_are(free: int, verdict: Verdict) -> None:
    config = Config(pools={"a": DirectoryPool(path="/a"), "c": RBDPool(pool="c")})
    found = list(checks.space(spoilt(free=free), config))
    assert [finding.verdict for finding in found] == [verdict] * 3
    assert [finding.text.partition(' in "')[2].partition('"')[0] for finding in found] == [
        "/a",
        "/var/log/pvc/consoles",
        "/var/lib/pvc",
    ]


def test_files_of_the_configuration_are_read_and_secrets_must_be_closed() -> None:
    config = Config(store=CLUSTER, api=API(tls_certificate="/cert", tls_key="/key"))
    machine = spoilt(gone=("/cert",), open_files=("/cert", "/key", "/etc/pvc/store.password"))
    assert bad(checks.files(machine, config)) == [
        ("api.tls_certificate", Verdict.WRONG, "ls -l /cert"),
        ("api.tls_key", Verdict.WARNING, "chmod 600 /key"),
        ("store.password_file", Verdict.WARNING, "chmod 600 /etc/pvc/store.password"),
    ]


def test_what_ceph_needs_is_looked_for_where_ceph_is_configured() -> None:
    nothing_there = spoilt(gone=("/c", "/etc/ceph/ceph.client.pvc.keyring", *checks.RBD_DRIVERS))
    assert list(checks.ceph_files(nothing_there, Config())) == []
    make = "ceph auth get-or-create client.pvc mon 'profile rbd' osd 'profile rbd' -o /etc/ceph/ceph.client.pvc.keyring"
    assert bad(checks.ceph_files(nothing_there, Config(ceph=Ceph(conf="/c")))) == [
        ("ceph.conf", Verdict.WRONG, "ls -l /c"),
        ("keyring", Verdict.WRONG, make),
        ("qemu rbd", Verdict.WRONG, "apt-get install qemu-block-extra"),
    ]


def test_addresses_that_are_not_this_machines_are_found() -> None:
    config = Config(store=CLUSTER, agent=Agent(listen="10.0.0.2:1"), api=API(listen="10.0.0.1:2"))
    assert bad(checks.addresses(Healthy(), config, BOTH)) == [("agent.listen", Verdict.WRONG, "ip -brief address")]
    assert bad(checks.addresses(Healthy(), Config(store=CLUSTER), BOTH)) == [("agent.listen", Verdict.WARNING, "")]


@pytest.mark.parametrize(
    ("domain_type", "version", "alone", "verdict"),
    [
        ("qemu", "7.2.0", False, Verdict.WARNING),
        ("qemu", "7.2.0", True, Verdict.OK),
        ("qemu", "9.0.0", False, Verdict.OK),
        ("kvm", "7.2.0", False, Verdict.OK),
    ],
)
def test_emulation_that_harms_guests_on_their_way_is_found_in_a_cluster(
    domain_type: str, version: str, alone: bool, verdict: Verdict
) -> None:
    facts = Facts(
        hostname="hv1",
        domain_type=domain_type,
        reason="Because.",
        arch="x86_64",
        os="Debian",
        kernel="6.1",
        cpu_count=1,
        memory_total=1,
        memory_free=1,
        load=0.0,
        libvirt_version="9.0.0",
        qemu_version=version,
    )
    assert [found.verdict for found in judge_libvirt(facts, "test:///", alone=alone)][1] is verdict


def test_every_problem_of_the_configuration_is_a_finding(tmp_path: Path) -> None:
    file = tmp_path / "pvc.toml"
    file.write_text("a = 1\nb = 2\n")
    _, findings = read(file)
    assert [(found.text, found.mend) for found in findings] == [
        ("a is not a known key.", f"editor {file}"),
        ("b is not a known key.", f"editor {file}"),
    ]


def test_a_libvirt_and_a_store_that_do_not_answer_are_found(tmp_path: Path) -> None:
    file = tmp_path / "pvc.toml"
    file.write_text(
        f"""[hypervisor]
uri = "qemu+unix:///system?socket={tmp_path}/none"
[store]
kind = "zookeeper"
hosts = ["127.0.0.1:1"]
unprotected = true
"""
    )
    found = {finding.check: finding for finding in examine(BOTH, file, Healthy())}
    assert found["libvirt"].verdict is found["store"].verdict is Verdict.WRONG
    assert found["libvirt"].mend == "systemctl enable --now libvirtd"


def test_a_client_is_judged_by_the_server_that_it_reaches(pvc: PVC, api: FakeAPI) -> None:
    api.tell("GET /status", Answer({"pvc_version": "0.1.0"}))
    result = pvc("doctor", "client", "--output", "json", environment={"LC_ALL": "C.UTF-8"})
    assert (result.returncode, result.stderr) == (0, "")
    assert [finding["verdict"] for finding in json.loads(result.stdout)] == ["ok", "ok"]


def test_what_is_wrong_is_the_exit_code(pvc: PVC, api: FakeAPI) -> None:
    api.tell("GET /status", Answer({"message": "The store is away.", "code": "store_unavailable"}, 503))
    result = pvc("doctor", "client", environment={"LC_ALL": "C.UTF-8"})
    assert (result.returncode, result.stderr) == (5, "1 of 2 checks found something wrong.\n")
    assert "The store is away." in result.stdout


def test_another_role_is_refused(pvc: PVC) -> None:
    assert pvc("doctor", "nurse").returncode == 2
