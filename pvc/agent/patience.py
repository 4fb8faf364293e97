"""A live copy that does not come closer to its end: what to allow it, step by step, and when to lose patience."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

# The part of the allowed downtime that is granted at first, and again at each step.
_STEPS = 4


class Push(StrEnum):
    ALLOW_MORE = "allow more"
    POST_COPY = "post-copy"
    ABORT = "abort"


@dataclass(slots=True)
class Patience:
    """most_ms: the longest the guest may stand still. step_s: without progress before more is allowed; when all is
    allowed, `end_s` more before it is given up, or ended by post-copy where that may be.

    Progress is a new low of what is left to copy. What is to be done is said again as long as nothing comes of it.
    """

    most_ms: int
    step_s: float
    end_s: float
    post_copy: bool = False
    steps: int = 1
    lowest: int | None = None
    since: float = 0.0

    @property
    def allowed_ms(self) -> int:
        return max(self.most_ms * self.steps // _STEPS, 1)

    def look(self, now: float, left: int) -> Push | None:
        """now: monotonic seconds. left: bytes."""
        if self.lowest is None or left < self.lowest:
            self.lowest, self.since = left, now
            return None
        waited = now - self.since
        if self.steps < _STEPS and waited >= self.step_s:
            self.steps, self.since = self.steps + 1, now
            return Push.ALLOW_MORE
        if self.steps == _STEPS and waited >= self.end_s:
            self.since = now
            return Push.POST_COPY if self.post_copy else Push.ABORT
        return None
