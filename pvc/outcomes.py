"""What becomes of each way to say no: its HTTP status, and the exit code of the shell client and the daemons."""

from __future__ import annotations

# By code of the API: status, exit code. None: the client alone says it. A promise, see `pvc --help`.
OUTCOMES: dict[str, tuple[int | None, int]] = {
    "usage": (None, 2),
    "invalid_input": (400, 2),
    "invalid_xml": (400, 2),
    "invalid_image": (400, 2),
    "invalid_request": (400, 2),
    "no_such_path": (404, 2),
    "method_not_allowed": (405, 2),
    "not_built": (501, 2),
    "not_found": (404, 3),
    "conflict": (409, 4),
    "already_exists": (409, 4),
    "changed": (409, 4),
    "busy": (409, 4),
    "in_use": (409, 4),
    "no_room": (409, 4),
    "image_too_large": (400, 4),
    "too_old": (410, 4),
    "too_large": (413, 4),
    "pool_full": (507, 4),
    "store_locked": (503, 4),
    "unreachable": (None, 5),
    "timeout": (504, 5),
    "unavailable": (503, 5),
    "store_unavailable": (503, 5),
    "session_lost": (503, 5),
    "hypervisor_unavailable": (503, 5),
    "pool_unavailable": (503, 5),
    "node_unavailable": (503, 5),
    "unauthenticated": (401, 6),
    "not_permitted": (403, 6),
    "hypervisor_refused": (409, 7),
    "ceph_refused": (409, 7),
    "conversion_failed": (400, 7),
    "not_as_written": (500, 7),
    "declined": (None, 8),
    "cancelled": (409, 8),
    "unhealthy": (None, 9),
    "corrupt": (500, 1),
}

# A code that the table does not have is a bug: status 500, exit code 1.
STATUS = {code: status for code, (status, _) in OUTCOMES.items() if status is not None}
EXIT = {code: number for code, (_, number) in OUTCOMES.items()}
