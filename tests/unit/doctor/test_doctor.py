"""What the doctor finds: nothing where nothing is wrong, else one sentence and the command that mends it."""

from __future__ import annotations

import json
import os
import signal
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from pvc.cephconfig import Ceph, RBDPool
from pvc.config import API, Agent, Config, DirectoryPool, Hypervisor, Migration, Store
from pvc.doctor import checks, reaching, zookeeper
from pvc.doctor.deadline import Check, examined
from pvc.doctor.findings import Finding, Verdict, ok, wrong
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

    root, clock, jail, free, chroot, systemd = True, True, "", 100 * GIB, False, True
    listening: tuple[tuple[str, int], ...] = ()
    resolving = True
    missing: tuple[str, ...] = ()
    gone: tuple[str, ...] = ()
    open_files: tuple[str, ...] = ()
    addresses: tuple[str, ...] = ("10.0.0.1",)
    texts = {"/proc/cpuinfo": "flags : fpu vmx sse", "/proc/sys/kernel/unprivileged_userns_clone": "1"}  # noqa: RUF012

    def is_root(self) -> bool:
        return self.root

    def own_name(self) -> str:
        return "hv1"

    def resolves(self, name: str) -> bool:
        return self.resolving

    def has_program(self, name: str) -> bool:
        return name not in self.missing

    def complaint_of(self, command: list[str]) -> str:
        return self.jail

    def problem_reading(self, path: str) -> str:
        return "No such file or directory" if path in self.gone else ""

    def is_open_to_others(self, path: str) -> bool:
        return path in self.open_files

    def text(self, path: str) -> str:
        return self.texts.get(path, "")

    def exists(self, path: str) -> bool:
        return path not in self.gone

    def is_in_chroot(self) -> bool:
        return self.chroot

    def has_systemd(self) -> bool:
        return self.systemd

    def answers(self, host: str, port: int) -> bool:
        return (host, port) in self.listening

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
        ({"jail": "No permissions"}, "namespaces", Verdict.WRONG, ""),
        ({"gone": ("/dev/kvm",)}, "kvm", Verdict.WARNING, "modprobe kvm_intel"),
        ({"texts": {"/proc/cpuinfo": "flags : fpu"}}, "kvm", Verdict.WARNING, ""),
        ({"resolving": False}, "host name", Verdict.WARNING, "echo 127.0.1.1 hv1 >>/etc/hosts"),
        ({"clock": False}, "clock", Verdict.WARNING, "apt-get install systemd-timesyncd"),
    ],
)
def test_each_thing_that_is_wrong_is_found_with_what_mends_it(
    spoils: dict[str, object], check: str, verdict: Verdict, mend: str
) -> None:
    found = bad(here(spoilt(**{"free": 500 * GIB, **spoils}), Config(), BOTH))
    assert found == [(check, verdict, mend)]


@pytest.mark.parametrize("switch", ["kernel.unprivileged_userns_clone=1", "user.max_user_namespaces=10000"])
def test_namespaces_that_are_switched_off_are_switched_on_by_the_same_switch(switch: str) -> None:
    name, _, _ = switch.partition("=")
    machine = spoilt(jail="x", texts={f"/proc/sys/{name.replace('.', '/')}": "0\n"})
    [found] = checks.namespaces(machine)
    assert found.mend == f"sysctl {switch}"


def test_in_a_chroot_no_switch_is_blamed_for_namespaces() -> None:
    [found] = checks.namespaces(spoilt(jail="x", chroot=True, texts={"/proc/sys/user/max_user_namespaces": "0"}))
    assert ("chroot" in found.text, found.mend) == (True, "")


def test_a_vm_without_kvm_is_told_of_its_host_and_a_machine_of_its_firmware() -> None:
    for flags, named in (("fpu hypervisor", "nested"), ("fpu", "Firmware")):
        [found] = checks.virtualisation(spoilt(texts={"/proc/cpuinfo": flags}))
        assert named in found.text


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


def test_a_password_that_is_not_there_is_copied_or_made() -> None:
    [found] = checks.files(spoilt(gone=("/etc/pvc/store.password",)), Config(store=CLUSTER))
    assert found.mend == "(umask 077; openssl rand -base64 32 >/etc/pvc/store.password)"


def test_a_missing_password_is_not_blamed_on_zookeeper_too() -> None:
    config = Config(store=Store(kind="zookeeper", hosts=("127.0.0.1:1",), user="pvc", password_file="/none/password"))
    assert list(reaching.store(Machine(), config).findings) == []


def test_a_folder_is_no_pool_of_a_cluster() -> None:
    assert bad(checks.pools(Config())) == []
    assert [found.check for found in checks.pools(Config(store=CLUSTER))] == ["pools"]
    assert bad(checks.pools(Config(store=CLUSTER, pools={"vms": RBDPool(pool="vms")}))) == []


ENSEMBLE = Store(kind="zookeeper", hosts=("10.0.0.1:2181", "10.0.0.2:2181", "10.0.0.3:2181"), unprotected=True)


@pytest.mark.parametrize(
    ("text", "verdicts"),
    [
        ("", []),
        ("dataDir=/tmp/zookeeper\nserver.1=10.0.0.1:2888:3888\n", [Verdict.WRONG]),
        ("# server.1=x\ndataDir = /var/lib/zookeeper\n", [Verdict.WRONG]),
        ("dataDir=/var/lib/zookeeper\nserver.1=10.0.0.1:2888:3888\n", [Verdict.OK]),
    ],
)
def test_a_zookeeper_that_forgets_or_stands_alone_is_found(text: str, verdicts: list[Verdict]) -> None:
    machine = spoilt(texts={zookeeper.FILE: text})
    assert [found.verdict for found in zookeeper.configuration(machine, Config(store=ENSEMBLE))] == verdicts
    assert list(zookeeper.configuration(machine, Config())) == []
    assert list(zookeeper.configuration(machine, Config(store=CLUSTER))) == []


def test_a_zookeeper_without_its_daemon_is_found() -> None:
    machine = spoilt(texts={zookeeper.FILE: "dataDir=/srv"}, gone=("/etc/init.d/zookeeper",))
    here = Store(kind="zookeeper", hosts=("10.0.0.1:2181",), unprotected=True)
    found = bad(zookeeper.configuration(machine, Config(store=here)))
    assert found == [("zookeeper", Verdict.WARNING, "apt-get install zookeeperd")]


def test_an_agent_that_is_dead_is_found_by_its_silence() -> None:
    config = Config(store=CLUSTER, agent=Agent(listen="[fd00::1]:7371"))
    assert bad(reaching.agent(spoilt(listening=(("fd00::1", 7371),)), config).findings) == []
    found = [("agent", Verdict.WRONG, "systemctl enable --now pvc-agent")]
    assert bad(reaching.agent(Healthy(), config).findings) == found
    assert list(reaching.agent(Healthy(), Config()).findings) == []


def test_a_node_of_a_cluster_that_takes_no_guests_live_is_found(tmp_path: Path) -> None:
    def found(uri: str) -> list[str]:
        there = Hypervisor(migration_uri=uri, migration_certificates=str(tmp_path))
        return [one.text for one in reaching.migration(Healthy(), Config(store=CLUSTER, hypervisor=there)).findings]

    assert found("") == ["No hypervisor.migration_uri is set: no guest comes here live."]
    missing = f'QEMU cannot move guests encrypted: "{tmp_path}/ca-cert.pem" is not there.'
    assert found("qemu+tls://10.0.0.1/system") == [missing]
    assert list(reaching.migration(Healthy(), Config()).findings) == []


def test_a_check_that_hangs_or_dies_is_a_finding_and_the_next_is_made() -> None:
    def hang() -> Iterator[Finding]:
        threading.Event().wait()
        yield ok("never", "This is not said.")

    def die() -> Iterator[Finding]:
        os.kill(os.getpid(), signal.SIGKILL)
        yield ok("never", "This is not said.")

    [hung] = examined(Check("x", hang(), "Nobody answers", "ask again", patience_s=0.01))
    assert hung == wrong("x", "Nobody answers within 0.01 s.", "ask again")
    assert [found.text for found in examined(Check("x", die()))] == ["This check ended before it found anything."]
    assert list(examined(Check("x", iter([ok("x", "Fine.")])))) == [ok("x", "Fine.")]


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
        ("What follows is judged by the defaults instead.", ""),
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


@pytest.mark.parametrize(
    ("spoils", "uri", "mends"),
    [
        ({}, "qemu:///system", []),
        ({"gone": (reaching.VIRTLOGD,)}, "qemu:///system", ["systemctl enable --now virtlogd.socket"]),
        ({"gone": (reaching.VIRTLOGD,), "systemd": False}, "qemu:///system", ["virtlogd -d"]),
        ({"gone": (reaching.VIRTLOGD,)}, "qemu+unix:///system?socket=/x", []),
        (
            {"gone": (reaching.VIRTLOGD,), "texts": {"/etc/libvirt/qemu.conf": '#x\nstdio_handler = "file"\n'}},
            "qemu:///system",
            [],
        ),
    ],
)
def test_a_libvirt_that_could_start_no_guest_for_want_of_its_virtlogd_is_found(
    spoils: dict[str, object], uri: str, mends: list[str]
) -> None:
    assert [mend for _, _, mend in bad(reaching.virtlogd(spoilt(**spoils), uri))] == mends


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


@pytest.mark.parametrize(
    ("code", "status", "mend"),
    [("not_permitted", 403, "  Try: sudo pvc doctor"), ("store_unavailable", 503, "  Try: pvc doctor serve")],
)
def test_a_server_that_answers_no_is_not_started_again(
    pvc: PVC, api: FakeAPI, code: str, status: int, mend: str
) -> None:
    api.tell("GET /status", Answer({"message": "No.", "code": code}, status))
    assert f"No.{mend}\n" in pvc("doctor", "client", environment={"LC_ALL": "C.UTF-8"}).stdout


def test_another_role_is_refused(pvc: PVC) -> None:
    assert pvc("doctor", "nurse").returncode == 2


def test_what_is_wrong_in_the_cluster_is_told_by_its_server(pvc: PVC, api: FakeAPI) -> None:
    reason = {"kind": "node", "name": "hv1", "points": 50, "text": 'Node "hv1" is dead.'}
    api.tell("GET /status", Answer({"pvc_version": "0.1.0", "reasons": [reason]}))
    result = pvc("doctor", "client", environment={"LC_ALL": "C.UTF-8"})
    assert 'Node "hv1" is dead.  Try: pvc status --check' in result.stdout
