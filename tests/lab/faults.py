"""What goes wrong in a cluster. Each lasts as long as its context; `Daemon` and `Host` have the single acts.

lab.zookeepers[0].kill()    lab.nodes["hv1"].agent.freeze()    lab.nodes["hv1"].host.cut()
lab.servers[0].serve.stop()    lab.ceph.osd.kill()    lab.nodes["hv1"].libvirtd.stop()    ... .start()
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager

import rados

from tests.lab.host import Host
from tests.parts.ceph import POOL, Ceph, command
from tests.parts.daemon import Daemon, at_once


@contextmanager
def stopped(*daemons: Daemon) -> Iterator[None]:
    """Ended in order; on leaving, all are started again."""
    at_once(Daemon.stop, daemons)
    try:
        yield
    finally:
        at_once(Daemon.start, daemons)


@contextmanager
def killed(*daemons: Daemon) -> Iterator[None]:
    """Ended as by a crash; on leaving, all are started again."""
    at_once(Daemon.kill, daemons)
    try:
        yield
    finally:
        at_once(Daemon.start, daemons)


@contextmanager
def frozen(*daemons: Daemon) -> Iterator[None]:
    """Not one thread of them runs; their connections stay open."""
    with ExitStack() as stack:
        for daemon in daemons:
            stack.enter_context(daemon.frozen())
        yield


@contextmanager
def cut_off(*hosts: Host) -> Iterator[None]:
    """Without network. Whoever speaks to them through a file (a unix socket) still can."""
    for host in hosts:
        host.cut()
    try:
        yield
    finally:
        for host in hosts:
            host.mend()


@contextmanager
def full(ceph: Ceph) -> Iterator[None]:
    """Written to until Ceph takes no more, which is set to be soon; afterwards there is room again."""
    with ceph.admin() as cluster, closing(cluster.open_ioctx(POOL)) as pool:
        pool.set_osdmap_full_try()  # a full pool says so instead of waiting for room
        used = command(cluster, "df")["stats"]["total_used_raw_ratio"]
        _set_limits(cluster, used + 0.01, used + 0.02, used + 0.03)
        written: list[str] = []
        try:
            _fill(pool, written)
            yield
        finally:
            for name in written:
                pool.remove_object(name)
            _set_limits(cluster, 0.85, 0.9, 0.95)
            _until_room(cluster)


def _set_limits(cluster: rados.Rados, nearly: float, backfill: float, full: float) -> None:
    for name, ratio in (("nearfull", nearly), ("backfillfull", backfill), ("full", full)):
        command(cluster, f"osd set-{name}-ratio", ratio=ratio)


def _fill(pool: rados.Ioctx, written: list[str]) -> None:
    piece = bytes(range(256)) * (4 << 12)
    try:
        while True:
            written.append(f"filling-{len(written)}")
            pool.write_full(written[-1], piece)
    except rados.NoSpace:
        written.pop()


def _until_room(cluster: rados.Rados) -> None:
    while any("full" in pool["flags_names"] for pool in command(cluster, "osd dump")["pools"]):
        time.sleep(0.1)  # the OSD tells the mon when it likes
