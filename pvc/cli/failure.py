"""The one error of the shell client."""

from __future__ import annotations

from collections.abc import Mapping

from pvc.errors import PVCError


class Failure(PVCError):
    """What the API answered when it said no, or why it could not be asked.

    `code` is the API's own, or one of the client's: "usage", "unreachable", "declined", "unhealthy".
    """

    message = "{text}"

    def __init__(self, code: str, text: str, fields: Mapping[str, object] | None = None) -> None:
        super().__init__(text=text)
        self.code = code
        self.fields = dict(fields or {})
