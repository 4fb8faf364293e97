"""Exit codes by class of failure, for the shell client and the daemons alike."""

from __future__ import annotations

# The exit code for each code of the API and of the client; any other is a bug: 1. A promise, see `pvc --help`.
EXIT = {
    "usage": 2,
    "invalid_input": 2,
    "invalid_xml": 2,
    "invalid_image": 2,
    "not_built": 2,
    "not_found": 3,
    "conflict": 4,
    "already_exists": 4,
    "changed": 4,
    "busy": 4,
    "in_use": 4,
    "no_room": 4,
    "image_too_large": 4,
    "too_large": 4,
    "pool_full": 4,
    "store_locked": 4,
    "unreachable": 5,
    "timeout": 5,
    "unavailable": 5,
    "store_unavailable": 5,
    "session_lost": 5,
    "hypervisor_unavailable": 5,
    "pool_unavailable": 5,
    "node_unavailable": 5,
    "unauthenticated": 6,
    "not_permitted": 6,
    "hypervisor_refused": 7,
    "conversion_failed": 7,
    "declined": 8,
    "cancelled": 8,
}
