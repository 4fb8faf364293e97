"""A real Ceph from Debian's packages, on loopback ports: one mon, one mgr, one OSD on a sparse file, in one folder.

By hand: `python -m tests.parts.ceph` runs one until Ctrl-C.
"""

from __future__ import annotations

import base64
import contextlib
import json
import secrets
import shutil
import signal
import socket
import struct
import tempfile
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import rados

from tests.parts.daemon import Daemon
from tests.parts.place import HERE, Place, call

POOL, USER = "vms", "pvc"
_READY_S = 60.0
_OSD_BYTES = 10 << 30

_CONF = """\
[global]
fsid = {fsid}
mon_host = v1:{address}
auth_cluster_required = cephx
auth_service_required = cephx
auth_client_required = cephx
public_addr = {host}
ms_bind_ipv6 = false
ms_bind_msgr2 = false
osd_pool_default_size = 1
osd_pool_default_min_size = 1
mon_allow_pool_size_one = true
mon_allow_pool_delete = true
mon_warn_on_pool_no_redundancy = false
osd_crush_chooseleaf_type = 0
osd_client_watch_timeout = 10
# The lease to read lasts 0.8 of this. An OSD that is frozen for longer never reads again where it keeps the only copy.
osd_heartbeat_grace = 300
osd_objectstore = bluestore
bluestore_block_size = {osd_bytes}
bluestore_cache_autotune = false
bluestore_cache_size = 134217728
osd_memory_target = 939524096
mon_data_avail_crit = 1
mon_data_avail_warn = 2
osd_pool_default_pg_autoscale_mode = off
paxos_propose_interval = 0.02
paxos_min_wait = 0.01
run_dir = {folder}
log_file = {folder}/$name.log
admin_socket =
pid_file =
[client.admin]
keyring = {folder}/keyring
[mon]
mon_data = {folder}/mon
keyring = {folder}/keyring
[mgr]
mgr_data = {folder}/mgr
keyring = {folder}/keyring
mgr_stats_period = 1
[osd]
osd_data = {folder}/osd
keyring = {folder}/keyring
"""

_ENTITIES = {
    "mon.": {"mon": "allow *"},
    "client.admin": {"mon": "allow *", "osd": "allow *", "mgr": "allow *"},
    "mgr.x": {"mon": "allow profile mgr", "osd": "allow *"},
    "osd.0": {"mon": "allow profile osd", "mgr": "allow profile osd", "osd": "allow *"},
    f"client.{USER}": {"mon": "profile rbd", "osd": f"profile rbd pool={POOL}"},
    "client.everywhere": {"mon": "profile rbd", "osd": "profile rbd"},
    "client.ruler": {"mon": "allow r, allow service osd rw"},
}


class CephDaemon(Daemon):
    """One of mon, mgr and osd. It is not waited for: `Ceph.start` does, and clients do."""

    def __init__(self, kind: str, number: str, conf: Path, place: Place) -> None:
        super().__init__(f"ceph-{kind}", conf.parent / f"{kind}.out", place)
        self._words = [f"ceph-{kind}", "-f", "-c", str(conf), "-i", number]

    def _launch(self) -> None:
        self._run(self._words)


class Ceph:
    """All methods block. `close` ends the daemons and removes all; it may be called at any time.

    folder: a new one by default. address: "IP:PORT" of the monitor.
    """

    def __init__(self, folder: Path | None = None, *, place: Place = HERE, address: str = "") -> None:
        self.folder = folder or Path(tempfile.mkdtemp(prefix="pvc-ceph-"))
        self.place, self.address = place, address or f"127.0.0.1:{_free_port()}"
        self.conf, self.keyring = self.folder / "ceph.conf", self.folder / f"client.{USER}.keyring"
        self.fsid = str(uuid.uuid4())
        self.keys = {name: _new_key() for name in _ENTITIES}
        self.mon, self.mgr, self.osd = self.daemons = tuple(
            CephDaemon(kind, number, self.conf, place) for kind, number in (("mon", "a"), ("mgr", "x"), ("osd", "0"))
        )
        self._write_configuration()

    def _write_configuration(self) -> None:
        host = self.address.partition(":")[0]
        self.conf.write_text(
            _CONF.format(fsid=self.fsid, address=self.address, host=host, folder=self.folder, osd_bytes=_OSD_BYTES)
        )
        (self.folder / "keyring").write_text("".join(self._entry(name) for name in _ENTITIES))
        self.keyring.write_text(f"[client.{USER}]\n\tkey = {self.keys[f'client.{USER}']}\n")

    def start(self) -> None:
        """Return when the pool takes writes and says how much room it has."""
        self._make_mon()
        self.mon.start()
        self.mgr.start()
        with self.admin() as cluster:
            osd = str(uuid.uuid4())
            command(cluster, "osd new", uuid=osd)
            self._call("ceph-osd", "-i", "0", "--mkfs", "--osd-uuid", osd)
            self.osd.start()
            self.make_pool(POOL)
            end = time.monotonic() + _READY_S
            while not _room(cluster, POOL):
                self._check(end)
                time.sleep(0.1)  # the mgr tells the mon when it likes

    def make_pool(self, name: str) -> None:
        with self.admin() as cluster:
            command(cluster, "osd pool create", pool=name, pg_num=8)
            command(cluster, "osd pool application enable", pool=name, app="rbd")
            with contextlib.closing(cluster.open_ioctx(name)) as pool:
                pool.write_full("ready", b"")  # waits until the OSD is up
                pool.remove_object("ready")

    @contextlib.contextmanager
    def admin(self) -> Iterator[rados.Rados]:
        cluster = rados.Rados(conffile=str(self.conf), name="client.admin")
        for option, value in {
            "client_mount_timeout": "30",
            "rados_mon_op_timeout": "30",
            "rados_osd_op_timeout": "60",
        }.items():
            cluster.conf_set(option, value)
        try:
            with self.place.network():
                cluster.connect()
            yield cluster
        finally:
            cluster.shutdown()

    def close(self) -> None:
        for daemon in self.daemons:
            daemon.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _make_mon(self) -> None:
        map_file = str(self.folder / "monmap")
        self._call("monmaptool", "--create", "--addv", "a", f"[v1:{self.address}]", "--fsid", self.fsid, map_file)
        for folder in ("mon", "mgr", "osd"):
            (self.folder / folder).mkdir()
        keyring = str(self.folder / "keyring")
        self._call("ceph-mon", "-i", "a", "--mkfs", "--monmap", map_file, "--keyring", keyring)

    def _call(self, program: str, *arguments: str) -> None:
        call(self.place, [program, "-c", str(self.conf), *arguments], self.folder / "making.out")

    def _check(self, end: float) -> None:
        for daemon in self.daemons:
            if not daemon.is_running or time.monotonic() > end:
                raise RuntimeError(f"Ceph did not start, {daemon.name} says:\n{daemon.log.read_text()}")

    def _entry(self, name: str) -> str:
        caps = "".join(f'\tcaps {kind} = "{cap}"\n' for kind, cap in _ENTITIES[name].items())
        return f"[{name}]\n\tkey = {self.keys[name]}\n{caps}"

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, at: TracebackType | None) -> None:
        self.close()


def command(cluster: rados.Rados, prefix: str, **arguments: object) -> Any:
    """Ask the monitors; the answer's JSON, None when it has none."""
    status, answer, said = cluster.mon_command(json.dumps({"prefix": prefix, "format": "json", **arguments}), b"")
    if status != 0:
        raise RuntimeError(f"{prefix}: {said}")
    return json.loads(answer) if answer else None


def _room(cluster: rados.Rados, pool: str) -> int:
    pools = command(cluster, "df")["pools"]
    return sum(int(entry["stats"]["max_avail"]) for entry in pools if entry["name"] == pool)


def _new_key() -> str:
    """Ceph's form: type 1 (AES), time of creation in seconds and nanoseconds, length, key."""
    return base64.b64encode(struct.pack("<hiih", 1, int(time.time()), 0, 16) + secrets.token_bytes(16)).decode()


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


if __name__ == "__main__":
    with Ceph() as ceph:
        print(f"Ceph's configuration is {ceph.conf}, pool {POOL}, user {USER}; Ctrl-C ends it")
        with contextlib.suppress(KeyboardInterrupt):
            signal.pause()
