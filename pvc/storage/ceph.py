"""A Ceph cluster and its pools, through librados and librbd: the one module that knows them.

Everything here blocks. Each call to Ceph has a deadline of its own, so that all of it ends; rbd's and rados' exceptions
leave this room through `ceph_errors` and `about` only.
"""

from __future__ import annotations

import base64
import configparser
import errno
import json
import os
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import rados
import rbd

from pvc.cephconfig import CephUser
from pvc.cephconfig import RBDPool as Settings
from pvc.errors import AlreadyExists, CephRefused, NotFound, NotPermitted, PoolFull, PoolUnavailable, PVCError
from pvc.storage.base import Statistics, Usage, open_elsewhere
from pvc.storage.sparse import GRAIN, data_runs
from pvc.units import KIB, MIB

Image = rbd.Image

OBJECT_BYTES = 4 * MIB
_ORDER = 22  # of OBJECT_BYTES
_OBJECT_MAP = rbd.RBD_FEATURE_OBJECT_MAP | rbd.RBD_FEATURE_FAST_DIFF
_FEATURES = rbd.RBD_FEATURE_LAYERING | rbd.RBD_FEATURE_EXCLUSIVE_LOCK | rbd.RBD_FEATURE_DEEP_FLATTEN
WRITE_BYTES = 2 * MIB  # at once: whole objects take more memory and more time (docs/design/025)
_WRITES_AT_ONCE = 8  # of one pool; more are no faster, and each is kept in memory
_ZEROES = bytes(GRAIN)
_FULL = {errno.ENOSPC, errno.EDQUOT}
_CAPS = "mon 'allow r, allow service osd rw'"


@contextmanager
def ceph_errors(pool: str) -> Iterator[None]:
    """Raises PoolFull or PoolUnavailable for what Ceph raises."""
    try:
        yield
    except (rbd.Error, rados.Error) as exc:
        raise _failure(pool, getattr(exc, "errno", 0) or 0, str(exc)) from exc


@contextmanager
def about(kind: str, name: str) -> Iterator[None]:
    """Names what is missing, there already, or open elsewhere. Raises NotFound, AlreadyExists, InUse."""
    try:
        yield
    except (rbd.ImageNotFound, rados.ObjectNotFound) as exc:
        raise NotFound(kind=kind, name=name) from exc
    except rbd.ImageExists as exc:
        raise AlreadyExists(kind=kind, name=name) from exc
    except rbd.ImageBusy as exc:
        raise open_elsewhere(name, shared=True, kind=kind) from exc


def _failure(pool: str, number: int, said: str) -> Exception:
    if abs(number) in _FULL:
        return PoolFull(name=pool)
    return PoolUnavailable(name=pool, reason=_reason(number, said))


def _reason(number: int, said: str) -> str:
    if abs(number) == errno.ETIMEDOUT:
        return "Ceph did not answer in time"
    return said or os.strerror(abs(number))


class Connection:
    """To a cluster, as one user. Commands go to the monitors, also those that a manager answers: only so is there a
    deadline that ends well.
    """

    def __init__(self, settings: CephUser, unavailable: Callable[[str], PVCError]) -> None:
        """unavailable: makes what is raised, of the reason, when Ceph is not there or does not answer."""
        self._user, self._unavailable = settings.user, unavailable
        with self._failing_well():
            with self.present(f'"{settings.conf}" is not there'):
                self.rados = rados.Rados(conffile=settings.conf, name=f"client.{settings.user}")
            try:
                for option, value in _options(settings).items():
                    self.rados.conf_set(option, value)
                self.rados.connect()
            except BaseException:
                self.rados.shutdown()
                raise

    def close(self) -> None:
        self.rados.shutdown()

    def ask(self, prefix: str, **arguments: object) -> Any:
        """The answer's JSON, None when there is none. Raises CephRefused, NotPermitted."""
        answer = self.tell(prefix, format="json", **arguments)
        return json.loads(answer) if answer else None

    def tell(self, prefix: str, **arguments: object) -> str:
        """The answer as text. Raises CephRefused, NotPermitted."""
        with self._failing_well():
            status, answer, said = self.rados.mon_command(json.dumps({"prefix": prefix, **arguments}), b"")
        if status == -errno.ETIMEDOUT:
            raise self._unavailable(_reason(status, said))
        if status == -errno.EACCES:
            raise NotPermitted(problem=f"Ceph does not let client.{self._user} do this: its key needs the caps {_CAPS}")
        if status != 0:
            raise CephRefused(reason=_reason(status, said))
        return str(answer.decode())

    @contextmanager
    def present(self, otherwise: str) -> Iterator[None]:
        """otherwise: the reason when something is not there."""
        try:
            yield
        except rados.ObjectNotFound as exc:
            raise self._unavailable(otherwise) from exc

    @contextmanager
    def _failing_well(self) -> Iterator[None]:
        try:
            yield
        except rados.Error as exc:
            raise self._unavailable(_reason(getattr(exc, "errno", 0) or 0, str(exc))) from exc


class Cluster:
    """One connection, to one pool. Images are named as they are in Ceph; what people call them is for the caller."""

    def __init__(self, pool: str, settings: Settings) -> None:
        """pool: as pvc names it. Raises PoolUnavailable."""
        self.pool, self.settings = pool, settings
        self._rbd = rbd.RBD()
        self._turns = threading.BoundedSemaphore(_WRITES_AT_ONCE)
        self._connection = Connection(settings, lambda reason: PoolUnavailable(name=pool, reason=reason))
        try:
            with ceph_errors(pool):
                self._open()
        except BaseException:
            self._connection.close()
            raise

    def _open(self) -> None:
        cluster = self._connection.rados
        with self._connection.present(f'Ceph has no pool "{self.settings.pool}"'):
            self._pool = cluster.open_ioctx(self.settings.pool)
        self._pool.set_osdmap_full_try()  # a full pool says so instead of waiting for room
        self._addresses = _own_addresses(cluster.get_addrs())
        self.fsid = uuid.UUID(cluster.get_fsid())
        self.monitors = _monitors(self._connection.ask("mon dump"))
        self.keyring = _first_existing(cluster.conf_get("keyring"))

    def close(self) -> None:
        self._pool.close()
        self._connection.close()

    def usage(self) -> Usage:
        """Free is what Ceph thinks it can still store, copies counted; a quota of the pool is not."""
        return self._measured()[0]

    def statistics(self, volumes: int) -> Statistics:
        usage, raw_used = self._measured()
        found = self._described()
        return Statistics(
            usage,
            volumes,
            raw_used=raw_used,
            id=found["pool_id"],
            pgs=found["pg_num_target"],
            tier=tier_of(found["crush_rule"], self._connection.ask("osd crush rule dump")),
            counts=_counts(self._pool.get_stats()),
        )

    def _measured(self) -> tuple[Usage, int]:
        """And the bytes used with all copies."""
        df = self._connection.ask("df")
        stats = next((entry["stats"] for entry in df["pools"] if entry["name"] == self.settings.pool), None)
        if stats is None or not (stats["stored"] or stats["max_avail"]):  # Ceph has not looked at a new pool yet
            free = int(df["stats"]["total_avail_bytes"]) // int(self._described()["size"])
            return Usage(total=free, used=0, free=free), 0
        used, free = int(stats["stored"]), int(stats["max_avail"])
        return Usage(total=used + free, used=used, free=free), int(stats["bytes_used"])

    def _described(self) -> Any:
        for entry in self._connection.ask("osd pool ls", detail="detail"):
            if entry["pool_name"] == self.settings.pool:
                return entry
        raise PoolUnavailable(name=self.pool, reason=f'Ceph has no pool "{self.settings.pool}" any more')

    def key(self) -> bytes:
        """The user's own, from the keyring. Raises PoolUnavailable."""
        user = f"client.{self.settings.user}"
        keys = configparser.ConfigParser(interpolation=None, delimiters=("=",))
        try:
            keys.read_string("\n".join(map(str.strip, Path(self.keyring).read_text().splitlines())))
            return base64.b64decode(keys[user]["key"], validate=True)
        except (OSError, ValueError, KeyError, configparser.Error) as exc:
            raise PoolUnavailable(name=self.pool, reason=f'"{self.keyring}" holds no key of {user}') from exc

    def names(self) -> dict[str, str]:
        """Every image's name and id."""
        return {entry["name"]: entry["id"] for entry in self._rbd.list2(self._pool)}

    def create(self, name: str, size: int, *, mapped: bool = True) -> None:
        """mapped: keep a map of its objects from the start, which costs each new object a write of its own."""
        features = _FEATURES | _OBJECT_MAP if mapped else _FEATURES
        self._rbd.create(self._pool, name, size, order=_ORDER, features=features)

    def rename(self, name: str, new_name: str) -> None:
        self._rbd.rename(self._pool, name, new_name)

    def remove(self, name: str, on_progress: Callable[[int, int], int] | None = None) -> None:
        """Raises rbd.ImageBusy (see `about`) while anybody has it open. on_progress: of objects; returns 0 to go on."""
        self._rbd.remove(self._pool, name, on_progress=on_progress)

    def open(self, name: str, *, writable: bool = False, snapshot: str | None = None) -> Image:
        """Writable, it counts as open for everybody else; otherwise nobody sees it."""
        return rbd.Image(self._pool, name, snapshot=snapshot, read_only=not writable)

    def is_watched(self, image: Image) -> bool:
        """Whether anybody else has the image open for writing; who died is gone after half a minute."""
        return any(watcher["addr"] not in self._addresses for watcher in image.watchers_list())

    def writer(self, image: Image) -> Writer:
        return Writer(self.pool, image, self._turns)


class Writer:
    """Writes data into one image, some pieces at once, zeroes left out: they must read as zero already."""

    def __init__(self, pool: str, image: Image, turns: threading.BoundedSemaphore) -> None:
        self._pool, self._image, self._turns = pool, image, turns
        self._change = threading.Condition()
        self._under_way = 0
        self._failed = 0  # the first failure's number

    def put(self, data: bytes, offset: int) -> None:
        """Return when the writes are under way. Raises what an earlier one met."""
        self.check()
        for start, end in data_runs(len(data), lambda at, length: data.startswith(_ZEROES[:length], at)):
            self._send(data[start:end], offset + start)

    def settle(self) -> None:
        """Wait until nothing is under way."""
        with self._change:
            self._change.wait_for(lambda: self._under_way == 0)

    def check(self) -> None:
        if self._failed:
            raise _failure(self._pool, self._failed, "")

    def _send(self, data: bytes, offset: int) -> None:
        self._turns.acquire()
        with self._change:
            self._under_way += 1
        try:
            self._image.aio_write(data, offset, partial(self._written, data))
        except BaseException:
            self._done(0)
            raise

    def _written(self, data: bytes, completion: rbd.Completion) -> None:
        """Called by a thread of librbd's. data: is kept until here, because librbd does not copy it."""
        self._done(min(0, completion.get_return_value()))

    def _done(self, status: int) -> None:
        self._turns.release()
        with self._change:
            self._failed = self._failed or status
            self._under_way -= 1
            self._change.notify_all()


def lock(image: Image) -> bool:
    """Keep others from writing until the image is closed; False when somebody else does that already.

    Raises rbd.Timeout when Ceph does not answer.
    """
    if not image.features() & rbd.RBD_FEATURE_EXCLUSIVE_LOCK:
        return True
    try:
        image.lock_acquire(rbd.RBD_LOCK_MODE_EXCLUSIVE)
    except rbd.ReadOnlyImage:
        image.list_lockers()  # raises if it was silence, which looks the same
        return False
    return True


def map_objects(image: Image) -> None:
    """Make the map that `create` left out. Takes time for each object that there could be."""
    image.update_features(_OBJECT_MAP, True)
    image.rebuild_object_map()


def lockers_of(image: Image) -> list[tuple[str, str, str]]:
    """(owner, cookie, address) of whoever has the image locked, dead or alive."""
    found = image.list_lockers()
    return list(found["lockers"]) if isinstance(found, dict) else []


def used_bytes(image: Image) -> int | None:
    """What its objects take, each counted whole; None where finding out would mean asking for each object."""
    wanted = rbd.RBD_FEATURE_FAST_DIFF
    if not image.features() & wanted or image.flags() & rbd.RBD_FLAG_FAST_DIFF_INVALID:
        return None
    return sum(length for _, length in extents(image))


def extents(image: Image) -> list[tuple[int, int]]:
    """(offset, length) of every object that is there."""
    found: list[tuple[int, int]] = []

    def note(offset: int, length: int, exists: bool) -> None:
        if exists:
            found.append((offset, length))

    image.diff_iterate(0, image.size(), None, note, whole_object=True)
    return found


def snapshots_of(image: Image) -> list[tuple[str, int, float]]:
    """(name, size, time) of every snapshot that people make."""
    return [
        (snap["name"], snap["size"], _time(image.get_snap_timestamp(snap["id"])))
        for snap in image.list_snaps()
        if snap["namespace"] == rbd.RBD_SNAP_NAMESPACE_TYPE_USER
    ]


def times_of(image: Image) -> tuple[float, float]:
    """When it was created and last written."""
    return _time(image.create_timestamp()), _time(image.modify_timestamp())


def note_of(image: Image, key: str) -> str:
    """What `image.metadata_set` keeps under that key, empty when there is nothing."""
    return dict(image.metadata_list()).get(key, "")


def _time(moment: datetime) -> float:
    return moment.replace(tzinfo=UTC).timestamp()


def tier_of(rule: int, rules: Any) -> str:
    """The class of devices that a CRUSH rule takes, "default" where it takes any."""
    steps = [step for found in rules if found["rule_id"] == rule for step in found["steps"]]
    taken = (step["item_name"].partition("~")[2] for step in steps if step["op"] == "take")
    return next(filter(None, taken), "default")


def _counts(stats: Any) -> dict[str, int]:
    """librados' numbers of a pool, as the API names them."""
    counts = {name: value for name, value in stats.items() if name.startswith("num_object")}
    return counts | {
        "read_ops": stats["num_rd"],
        "read_bytes": stats["num_rd_kb"] * KIB,
        "write_ops": stats["num_wr"],
        "write_bytes": stats["num_wr_kb"] * KIB,
    }


def deadlines(settings: CephUser) -> dict[str, str]:
    """Options of every client that works for us."""
    return {
        "client_mount_timeout": f"{settings.connect_timeout_s:g}",
        "rados_mon_op_timeout": f"{settings.op_timeout_s:g}",
        "rados_osd_op_timeout": f"{settings.op_timeout_s:g}",
    }


def _options(settings: CephUser) -> dict[str, str]:
    options = deadlines(settings) | {
        "rbd_cache": "false",  # everything is written once, in large pieces
        "rbd_disable_zero_copy_writes": "false",  # what is written stays as it is until that is done
    }
    return options | ({"keyring": settings.keyring} if settings.keyring else {})


def _first_existing(files: str) -> str:
    return next((file for file in files.split(",") if os.path.exists(file)), "")


def _own_addresses(text: str) -> set[str]:
    """Of "v1:IP:PORT/NONCE" or "[v2:...,v1:...]", as watchers are named."""
    return {part.split(":", 1)[1] if part[:1] == "v" else part for part in text.strip("[]").split(",")}


def _monitors(dump: Any) -> tuple[tuple[str, int], ...]:
    """QEMU speaks to a monitor's older address where it has one, else to the newer."""
    found = []
    for entry in dump["mons"]:
        addresses = {item["type"]: item["addr"] for item in entry["public_addrs"]["addrvec"]}
        host, _, port = (addresses.get("v1") or next(iter(addresses.values()))).rpartition(":")
        found.append((host.strip("[]"), int(port)))
    return tuple(found)
