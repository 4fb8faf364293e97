"""Every way pvc says no. Errors know no HTTP status, exit code or logger: `pvc.outcomes` does.

PVCError
    InvalidInput         what was asked makes no sense; `problems` names each argument
        InvalidXML       a domain or device document that cannot be accepted
        InvalidImage     an uploaded image that cannot be accepted
        ImageTooLarge    an uploaded image that does not fit its volume
    Unauthenticated      no token, or not one of ours
    NotPermitted         the caller, or pvc itself, may not do this
    NotFound             names an object that does not exist
    Conflict             the object is not in the state that the request needs
        AlreadyExists
        Changed          somebody else changed it since it was read
        Busy             held by a task or a lock, which is named
        InUse            a volume or network that a VM has
        NoRoom           no free hot-plug slot, no node that fits
    TooOld               what happened since is not known any more
    TooLarge             a value or a body over a stated limit
    PoolFull             the pool has no space left
    Timeout              a deadline passed; what was asked may still come true
    Cancelled            somebody asked for the end of what was under way
    Unavailable          a part that pvc stands on does not answer
        StoreUnavailable
            SessionLost  the store session is gone with its locks and ephemerals: open a new one
        StoreLocked      another process has the embedded store open
        HypervisorUnavailable
        PoolUnavailable
        NodeUnavailable
    HypervisorRefused    libvirt or the guest said no, or a start came to nothing; carries the reason
    CephRefused          Ceph said no; carries its reason
    ConversionFailed     qemu-img said no, hung or outgrew its limits
    NotAsWritten         what was read back is not what was written
    NotBuilt             a part of the API that does not exist yet
    Corrupt              a stored record that cannot be read
"""

from __future__ import annotations

from collections.abc import Mapping

from pvc.units import exact_size


class PVCError(Exception):
    """Root of the tree. `code` is a promise to scripts; `message` is for people: one sentence, names in double quotes.

    A message whose last field is `reason` ends in another program's own text, and so without a period.
    """

    code = "internal"
    message = "Internal problem: {reason}"

    def __init__(self, **fields: object) -> None:
        self.fields = fields
        super().__init__(self.message.format(**fields))


class InvalidInput(PVCError):
    """`problems` maps each argument to what is wrong with it."""

    code = "invalid_input"
    message = "{summary}."

    def __init__(self, problems: Mapping[str, str]) -> None:
        self.problems = dict(problems)
        summary = "; ".join(f'argument "{name}" {problem}' for name, problem in problems.items())
        super().__init__(summary=summary[:1].upper() + summary[1:])
        self.fields = dict(self.problems)


class InvalidXML(PVCError):
    code = "invalid_xml"
    message = "The XML document cannot be accepted: {reason}"


class InvalidImage(PVCError):
    code = "invalid_image"
    message = "The image cannot be accepted: {problem}."


class ImageTooLarge(PVCError):
    code = "image_too_large"
    message = 'The image of {shown} does not fit the volume "{volume}" of {limit_shown}.'

    def __init__(self, *, size: int, volume: str, limit: int) -> None:
        super().__init__(size=size, volume=volume, limit=limit, shown=exact_size(size), limit_shown=exact_size(limit))
        self.fields = {"size": size, "volume": volume, "limit": limit}


class Unauthenticated(PVCError):
    code = "unauthenticated"
    message = "{problem}."


class NotPermitted(PVCError):
    code = "not_permitted"
    message = "{problem}."


class NotFound(PVCError):
    """`owner` says whose it would be, as `VM "web1"`, where that is not plain."""

    code = "not_found"
    message = '{beginning} {kind} "{name}".'

    def __init__(self, *, kind: str, name: str, owner: str = "") -> None:
        super().__init__(beginning=f"{owner} has no" if owner else "No", kind=kind, name=name)
        self.fields = {"kind": kind, "name": name}


class Conflict(PVCError):
    code = "conflict"
    message = '{Kind} "{name}" {problem}.'

    def __init__(self, *, kind: str, name: str, problem: str, **fields: object) -> None:
        super().__init__(Kind=_capital(kind), name=name, problem=problem)
        self.fields = {"kind": kind, "name": name, **fields}


class AlreadyExists(Conflict):
    code = "already_exists"

    def __init__(self, *, kind: str, name: str) -> None:
        super().__init__(kind=kind, name=name, problem="exists already")


class Changed(Conflict):
    code = "changed"

    def __init__(self, *, kind: str, name: str) -> None:
        super().__init__(kind=kind, name=name, problem="was changed by another request meanwhile")


class Busy(Conflict):
    """`holder` says who: a task's kind and id, or a lock's holder."""

    code = "busy"

    def __init__(self, *, kind: str, name: str, holder: str) -> None:
        super().__init__(kind=kind, name=name, problem=f"is busy with {holder}", holder=holder)


class InUse(Conflict):
    """`user` says by what, for example `VM "web1"`."""

    code = "in_use"

    def __init__(self, *, kind: str, name: str, user: str) -> None:
        super().__init__(kind=kind, name=name, problem=f"is in use by {user}", user=user)


class NoRoom(Conflict):
    code = "no_room"


class TooOld(PVCError):
    code = "too_old"
    message = "{why}: read again what you follow, and go on from here."


class TooLarge(PVCError):
    """size and limit in bytes."""

    code = "too_large"
    message = "{what} has {size} bytes, the limit is {limit}."


class PoolFull(PVCError):
    code = "pool_full"
    message = 'Pool "{name}" has too little space left.'


class Timeout(PVCError):
    code = "timeout"
    message = "{what} did not happen within {timeout_s:g} s{outlook}."

    def __init__(self, *, what: str, timeout_s: float, outlook: str = "") -> None:
        """outlook: what comes of it now, as " and is still being tried"."""
        super().__init__(what=what, timeout_s=timeout_s, outlook=outlook)


class Cancelled(PVCError):
    code = "cancelled"
    message = "{what} was cancelled{outlook}."

    def __init__(self, *, what: str, outlook: str = "") -> None:
        """outlook: what comes of it, as "; it stays"."""
        super().__init__(what=what, outlook=outlook)


class Unavailable(PVCError):
    code = "unavailable"
    message = "{what} is not available: {reason}"


class StoreUnavailable(Unavailable):
    code = "store_unavailable"

    def __init__(self, *, reason: str) -> None:
        super().__init__(what="The cluster store", reason=reason)


class SessionLost(StoreUnavailable):
    code = "session_lost"


class StoreLocked(PVCError):
    code = "store_locked"
    message = 'The store "{path}" is in use by another pvc serve{holder}.'


class HypervisorUnavailable(Unavailable):
    code = "hypervisor_unavailable"

    def __init__(self, *, reason: str) -> None:
        super().__init__(what="The hypervisor", reason=reason)


class PoolUnavailable(Unavailable):
    code = "pool_unavailable"

    def __init__(self, *, name: str, reason: str) -> None:
        super().__init__(what=f'Pool "{name}"', reason=reason)


class NodeUnavailable(Unavailable):
    code = "node_unavailable"

    def __init__(self, *, name: str, reason: str) -> None:
        super().__init__(what=f'Node "{name}"', reason=reason)


class HypervisorRefused(PVCError):
    code = "hypervisor_refused"
    message = "{what}: {reason}"

    def __init__(self, *, reason: str, what: str = "The hypervisor refused") -> None:
        super().__init__(what=what, reason=reason)
        self.fields = {"reason": reason}


class CephRefused(PVCError):
    code = "ceph_refused"
    message = "Ceph refused: {reason}"


class ConversionFailed(PVCError):
    code = "conversion_failed"
    message = "The image could not be converted: {reason}"


class NotAsWritten(PVCError):
    code = "not_as_written"
    message = 'What was written for volume "{name}" reads back otherwise; the volume keeps its old content.'


class NotBuilt(PVCError):
    code = "not_built"
    message = "{what} is not part of this version of pvc."


class Corrupt(PVCError):
    code = "corrupt"
    message = 'The record of {kind} "{name}" cannot be read: {reason}'


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
