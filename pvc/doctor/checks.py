"""The checks that ask this machine alone. Each yields what it finds, from a Machine and the configuration."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from pvc.cephconfig import CephUser, RBDPool
from pvc.config import Config, DirectoryPool
from pvc.doctor.findings import Finding, ok, warning, wrong
from pvc.doctor.machine import Machine
from pvc.units import GIB, format_size

LEAST_FREE = GIB // 4
LITTLE_FREE_SHARE = 0.05
# Programs that a role starts, and Debian's packages for them.
PROGRAMS = {
    "serve": {"qemu-img": "qemu-utils", "bwrap": "bubblewrap", "prlimit": "util-linux"},
    "agent": {"qemu-system-x86_64": "qemu-system-x86", "openssl": "openssl"},
}
RBD_DRIVERS = ("/usr/lib/x86_64-linux-gnu/qemu/block-rbd.so", "/usr/lib/aarch64-linux-gnu/qemu/block-rbd.so")
# The namespaces that converting an image takes.
_JAIL = ["bwrap", "--unshare-all", "--unshare-user", "--disable-userns", "--cap-drop", "ALL"]
_JAIL += ["--ro-bind", "/usr", "/usr", "--symlink", "usr/bin", "/bin", "--symlink", "usr/lib", "/lib"]
_JAIL += ["--symlink", "usr/lib64", "/lib64", "--", "/usr/bin/true"]


def root(machine: Machine) -> Iterator[Finding]:
    if machine.is_root():
        yield ok("root", "This is root.")
    else:
        yield wrong("root", "pvc serve and pvc agent must run as root.", "sudo pvc doctor")


def programs(machine: Machine, roles: Iterable[str]) -> Iterator[Finding]:
    for name, package in {name: at for role in roles for name, at in PROGRAMS.get(role, {}).items()}.items():
        if machine.has_program(name):
            yield ok(name, "The program is there.")
        else:
            yield wrong(name, f'The program "{name}" is missing.', f"apt-get install {package}")


def namespaces(machine: Machine) -> Iterator[Finding]:
    """Nothing of a bwrap that is missing: that is found already."""
    if not machine.has_program("bwrap"):
        return
    complaint = machine.complaint_of(_JAIL)
    if not complaint:
        yield ok("namespaces", "bubblewrap can make namespaces, to convert images in.")
        return
    text = f"bubblewrap cannot make namespaces to convert images in: {complaint}"
    if machine.is_in_chroot():
        yield wrong("namespaces", f"{text} (This is a chroot, in which the kernel allows none.)")
    elif machine.text("/proc/sys/kernel/unprivileged_userns_clone").strip() == "0":
        yield wrong("namespaces", text, "sysctl kernel.unprivileged_userns_clone=1")
    elif machine.text("/proc/sys/user/max_user_namespaces").strip() == "0":
        yield wrong("namespaces", text, "sysctl user.max_user_namespaces=10000")
    else:
        yield wrong("namespaces", text)


def virtualisation(machine: Machine) -> Iterator[Finding]:
    words = machine.text("/proc/cpuinfo").split()
    capable = "vmx" in words or "svm" in words
    if machine.exists("/dev/kvm") and capable:
        yield ok("kvm", "Guests can run under KVM.")
    elif capable:
        module = "kvm_intel" if "vmx" in words else "kvm_amd"
        yield warning("kvm", "There is no /dev/kvm: guests are emulated, slowly.", f"modprobe {module}")
    else:
        why = (
            "This is a VM: its host may allow nested ones." if "hypervisor" in words else "Firmware may have a switch."
        )
        yield warning("kvm", f"The CPU shows neither vmx nor svm: guests are emulated, slowly. {why}")


def post_copy(machine: Machine, config: Config) -> Iterator[Finding]:
    """It is the kernel where a guest comes that must let it; nodes have the same configuration."""
    if not config.migration.post_copy:
        return
    if machine.text("/proc/sys/vm/unprivileged_userfaultfd").strip() == "1":
        yield ok("post-copy", "Guests can come here by post-copy.")
        return
    text = "The kernel keeps post-copy from a QEMU that is not root's: a guest that may come by it does not come live."
    yield warning("post-copy", text, "sysctl -w vm.unprivileged_userfaultfd=1")


def clock(machine: Machine) -> Iterator[Finding]:
    if machine.clock_follows():
        yield ok("clock", "The clock is set by another.")
    else:
        text = "The clock follows no other: times in logs differ between machines, and certificates may be refused."
        yield warning("clock", text, "apt-get install systemd-timesyncd")


def space(machine: Machine, config: Config) -> Iterator[Finding]:
    folders = {pool.path: f'pool "{name}"' for name, pool in config.pools.items() if isinstance(pool, DirectoryPool)}
    folders |= {config.hypervisor.console_path: "consoles"}
    if config.standalone:
        folders |= {config.store.path.rpartition("/")[0]: "the cluster's records"}
    for folder, what in folders.items():
        free, total = machine.space(folder)
        left = f'{format_size(free)} of {format_size(total)} are free in "{folder}", for {what}.'
        if free < LEAST_FREE:
            yield wrong("space", f"Only {left}", f"du -xh {folder} | sort -h | tail")
        elif free < total * LITTLE_FREE_SHARE:
            yield warning("space", f"Only {left}", f"du -xh {folder} | sort -h | tail")
        else:
            yield ok("space", left)


def files(machine: Machine, config: Config) -> Iterator[Finding]:
    """Files that the configuration names; Ceph's are looked at by `ceph_files`."""
    store, api = config.store, config.api
    named = {"api.tls_certificate": api.tls_certificate, "api.tls_key": api.tls_key}
    if not config.standalone:
        named |= {"store.tls_ca": store.tls_ca, "store.tls_certificate": store.tls_certificate}
        named |= {"store.tls_key": store.tls_key, "store.password_file": store.password_file}
    for key, path in named.items():
        if path:
            yield _readable(machine, key, path, secret=key.endswith(("key", "password_file")))


def _readable(machine: Machine, check: str, path: str, *, secret: bool) -> Finding:
    problem = machine.problem_reading(path)
    if problem and check == "store.password_file" and not machine.exists(path):
        text = f'There is no "{path}": copy it from another machine of the cluster, or make it on the first.'
        return wrong(check, text, f"(umask 077; openssl rand -base64 32 >{path})")
    if problem:
        return wrong(check, f'"{path}" cannot be read: {problem}', f"ls -l {path}")
    if secret and machine.is_open_to_others(path):
        return warning(check, f'"{path}" can be read by others than root.', f"chmod 600 {path}")
    return ok(check, f'"{path}" can be read.')


def ceph_users(config: Config) -> list[CephUser]:
    users: list[CephUser] = [pool for pool in config.pools.values() if isinstance(pool, RBDPool)]
    return [*users, *([config.ceph] if config.ceph.conf else [])]


def ceph_files(machine: Machine, config: Config) -> Iterator[Finding]:
    users = ceph_users(config)
    for path in dict.fromkeys(user.conf for user in users):
        yield _readable(machine, "ceph.conf", path, secret=False)
    for path in dict.fromkeys(user.keyring or f"/etc/ceph/ceph.client.{user.user}.keyring" for user in users):
        finding = _readable(machine, "keyring", path, secret=True)
        yield finding if not finding.text.endswith("directory") else _no_keyring(path, users)
    if users and not any(map(machine.exists, RBD_DRIVERS)):
        yield wrong("qemu rbd", "QEMU cannot open disks in Ceph here.", "apt-get install qemu-block-extra")


def _no_keyring(path: str, users: list[CephUser]) -> Finding:
    user = next(user.user for user in users if path in (user.keyring, f"/etc/ceph/ceph.client.{user.user}.keyring"))
    make = f"ceph auth get-or-create client.{user} mon 'profile rbd' osd 'profile rbd' -o {path}"
    return wrong("keyring", f'There is no "{path}", the key of Ceph\'s user "{user}".', make)


def pools(config: Config) -> Iterator[Finding]:
    """A folder in a cluster is shown by every server as its own, and no other node can open what is in it."""
    folders = [name for name, pool in config.pools.items() if isinstance(pool, DirectoryPool)]
    for name in folders if not config.standalone else []:
        text = f'Pool "{name}" is a folder of this machine alone: VMs with disks in it can go to no other node.'
        yield warning("pools", text)


def own_name(machine: Machine) -> Iterator[Finding]:
    name = machine.own_name()
    if machine.resolves(name):
        yield ok("host name", f'"{name}" resolves.')
    else:
        text = f'"{name}" does not resolve: libvirt, QEMU and Ceph look for it again and again, and wait.'
        yield warning("host name", text, f"echo 127.0.1.1 {name} >>/etc/hosts")


def addresses(machine: Machine, config: Config, roles: Iterable[str]) -> Iterator[Finding]:
    listens = {"agent": ("agent.listen", config.agent.listen), "serve": ("api.listen", config.api.listen)}
    for key, listen in (listens[role] for role in listens if role in roles):
        address = listen.rpartition(":")[0].strip("[]")
        if address and address[0].isdigit() and not machine.has_address(address):
            yield wrong(key, f'"{address}" is no address of this machine.', "ip -brief address")
    if not config.standalone and "agent" in roles and not config.agent.listen:
        text = "No agent.listen is set: this node's consoles and log are read on this machine only."
        yield warning("agent.listen", text)
