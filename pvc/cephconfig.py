"""What of the configuration is about Ceph."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from dataclasses import dataclass

# A pool or a node: the rule of pvc.model.names, which a leaf cannot import.
NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,62}[A-Za-z0-9])?")


@dataclass(frozen=True, slots=True, kw_only=True)
class CephUser:
    """How a Ceph cluster is reached, and as whom."""

    # Ceph's configuration file, which names the monitors.
    conf: str = "/etc/ceph/ceph.conf"
    # Ceph's user, as "libvirt" for client.libvirt: may do what profile rbd allows. It is named in VMs' disks too.
    user: str = "pvc"
    # File with that user's key, as Ceph writes it; empty: where `conf` says, or /etc/ceph/ceph.client.USER.keyring.
    keyring: str = ""
    # Seconds that reaching the cluster may take, and that Ceph has to answer one call.
    connect_timeout_s: float = 10.0
    op_timeout_s: float = 30.0
    # Seconds that sizes and usage in a list of volumes may be old, as other machines change them. Names are never old.
    # Asking anew costs some milliseconds for each volume, so that a short time makes every list of thousands slow.
    list_age_s: float = 60.0

    def problems(self) -> Iterator[str]:
        if not NAME.fullmatch(self.user):
            yield "user must have only letters, digits, dots, dashes or underscores."
        if not self.conf.startswith("/"):
            yield "conf must be an absolute file name."
        if self.keyring and not self.keyring.startswith("/"):
            yield "keyring must be an absolute file name."
        for name in ("connect_timeout_s", "op_timeout_s"):
            if getattr(self, name) < 1:
                yield f"{name} must be at least 1."
        if self.list_age_s < 0:
            yield "list_age_s must not be negative."


@dataclass(frozen=True, slots=True, kw_only=True)
class RBDPool(CephUser):
    kind: str = "rbd"
    # The pool's name in Ceph, which must exist there.
    pool: str = ""

    def problems(self) -> Iterator[str]:
        if not NAME.fullmatch(self.pool):
            yield "pool must have only letters, digits, dots, dashes or underscores."
        yield from CephUser.problems(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ceph(CephUser):
    """A Ceph cluster as a whole: every pool there that is for RBD is a pool here, under its own name."""

    # Ceph's configuration file; empty: no Ceph but what [pools] names.
    conf: str = ""
    # User for Ceph's own administration (status, pools, OSDs) and the file with its key; empty: `user` does that too.
    # Needs the caps mon 'allow r, allow service osd rw'. Only "pvc serve" needs it.
    admin: str = ""
    admin_keyring: str = ""

    def problems(self) -> Iterator[str]:
        if not self.conf:
            return
        yield from (f"ceph.{problem}" for problem in CephUser.problems(self))
        if self.admin and not NAME.fullmatch(self.admin):
            yield "ceph.admin must have only letters, digits, dots, dashes or underscores."
        if self.admin_keyring and not self.admin_keyring.startswith("/"):
            yield "ceph.admin_keyring must be an absolute file name."

    def as_admin(self) -> CephUser:
        if not self.admin:
            return self
        return dataclasses.replace(self, user=self.admin, keyring=self.admin_keyring)

    def pool(self, name: str) -> RBDPool:
        return RBDPool(pool=name, **{item.name: getattr(self, item.name) for item in dataclasses.fields(CephUser)})
