"""The whole cluster: `with Lab() as lab:`. All of it is in one enclosure, so nothing of it is left afterwards."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from types import TracebackType
from typing import Self

from tests.lab.enclosure import Enclosure
from tests.lab.host import Host, add_switch
from tests.machine.shell import Shell
from tests.parts.ceph import POOL, USER, Ceph
from tests.parts.certificates import EC, Authority
from tests.parts.daemon import Daemon, at_once
from tests.parts.libvirtd import Libvirtd
from tests.parts.serve import PVC
from tests.parts.zookeeper import ZooKeeper

BRIDGES = ("vmbr0", "vmbr1", "vmbr2", "vmbr3")
NODES = {"hv1": "10.99.0.1", "hv2": "10.99.0.2", "hv3": "10.99.0.3"}
SERVERS = {"api1": "10.99.0.11", "api2": "10.99.0.12"}
ZOOKEEPERS = {"zk1": "10.99.0.21", "zk2": "10.99.0.22", "zk3": "10.99.0.23"}
CEPH = {"ceph": "10.99.0.31"}

# Of every agent and every server. folder: of its own machine.
CONFIG = """\
[api]
socket = "{folder}/pvc.sock"

[store]
kind = "zookeeper"
hosts = [{zookeepers}]
session_timeout_s = 6
user = "pvc"
password_file = "{folder}/store.password"

[pools.vms]
kind = "rbd"
pool = "{pool}"
conf = "{conf}"
user = "{user}"
keyring = "{keyring}"
op_timeout_s = 8

[hypervisor]
console_path = "{folder}/consoles"
migration_uri = "qemu+tcp://{address}/system"
migration_certificates = "{folder}/libvirt/etc/pki"

[agent]
socket = "{folder}/agent.sock"
listen = "{address}:7371"
log_path = "{folder}/told.log"
interval_s = {interval_s:g}
shutdown_timeout_s = 60
"""


class Node:
    """A hypervisor. `libvirtd` and `agent` can be stopped, killed, frozen and started again; `host` is cut off."""

    def __init__(self, host: Host, agent: PVC, authority: Authority) -> None:
        self.name, self.host, self.agent = host.name, host, agent
        folder = host.folder / "libvirt"
        folder.mkdir()
        self.libvirtd = Libvirtd(folder, place=host, address=host.address, authority=authority)


class Server:
    """A `pvc serve`, and a shell that speaks to it."""

    def __init__(self, host: Host, serve: PVC) -> None:
        self.host, self.serve = host, serve
        self.url = f"unix:{host.folder}/pvc.sock"
        self.shell = Shell(self.url, POOL)


class Lab:
    """program: how to call pvc. interval_s: between two regular looks of an agent. All methods block."""

    def __init__(self, program: Sequence[str] = (sys.executable, "-m", "pvc"), *, interval_s: float = 2) -> None:
        self._program, self._interval_s = program, interval_s
        self.enclosure = Enclosure.make()
        self.folder = self.enclosure.folder
        self.hosts: dict[str, Host] = {}
        try:
            self._lay_out()
        except BaseException:
            self.close()
            raise

    def _lay_out(self) -> None:
        add_switch(self.enclosure)
        [ceph] = self._hosts(CEPH)
        self.ceph = Ceph(ceph.folder, place=ceph, address=f"{ceph.address}:6789")
        peers = list(ZOOKEEPERS.values())
        self.zookeepers = [
            ZooKeeper(host.folder, place=host, host=host.address, port=2181, ensemble=peers)
            for host in self._hosts(ZOOKEEPERS)
        ]
        (self.folder / "authority").mkdir()
        authority = Authority(self.folder / "authority", new=EC)
        self.nodes = {
            host.name: Node(host, self._pvc("agent", host), authority) for host in self._hosts(NODES, BRIDGES)
        }
        self.servers = [Server(host, self._pvc("serve", host)) for host in self._hosts(SERVERS)]

    def _hosts(self, addresses: dict[str, str], bridges: Sequence[str] = ()) -> list[Host]:
        made = [Host(self.enclosure, name, address, bridges) for name, address in addresses.items()]
        self.hosts |= {host.name: host for host in made}
        return made

    def _pvc(self, mode: str, host: Host) -> PVC:
        password = host.folder / "store.password"
        password.write_text("opens-the-store-of-the-lab")
        password.chmod(0o600)
        config = host.folder / "pvc.toml"
        config.write_text(
            CONFIG.format(
                folder=host.folder,
                address=host.address,
                zookeepers=", ".join(f'"{server.address}"' for server in self.zookeepers),
                pool=POOL,
                user=USER,
                conf=self.ceph.conf,
                keyring=self.ceph.keyring,
                interval_s=self._interval_s,
            )
        )
        return PVC(mode, config, place=host, program=self._program)

    def start(self) -> None:
        """Return when every part of it is ready."""
        try:
            _together(partial(at_once, Daemon.start, self.zookeepers), self.ceph.start, *self._libvirts())
            at_once(Daemon.start, self.above)
        except BaseException as exc:
            exc.add_note(self._log_tails())
            raise

    def _libvirts(self) -> Iterator[Callable[[], None]]:
        for node in self.nodes.values():
            node.libvirtd.mount()
            yield node.libvirtd.start

    @property
    def below(self) -> list[Daemon]:
        """What pvc stands on."""
        return [*self.zookeepers, *self.ceph.daemons, *(node.libvirtd for node in self.nodes.values())]

    @property
    def above(self) -> list[Daemon]:
        """Every agent and every server."""
        return [*(node.agent for node in self.nodes.values()), *(server.serve for server in self.servers)]

    @property
    def shell(self) -> Shell:
        """Speaks to the first server."""
        return self.servers[0].shell

    def close(self) -> None:
        """End it, guests and all, and remove it."""
        self.enclosure.close()

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def _log_tails(self) -> str:
        return "\n".join(f"The end of {daemon.log}:\n{daemon.log_tail(10)}" for daemon in [*self.below, *self.above])


def _together(*acts: Callable[[], None]) -> None:
    with ThreadPoolExecutor(len(acts)) as threads:
        for done in [threads.submit(act) for act in acts]:
            done.result()
