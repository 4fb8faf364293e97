"""How far a long operation is, on stderr: a bar on a terminal, else one line where a phase begins and ends."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import TextIO

from pvc.cli.output import columns
from pvc.units import format_size

REDRAW_S = 0.1
BAR_LEAST, BAR_MOST = 10, 40

# What tasks count that do not count bytes, by their kind.
COUNTED = {"flush": "VMs", "unflush": "VMs", "restore": "records", "rollback": "records"}


class Progress:
    """`show` as often as you like; `finish` once, at the end of the last phase, whether it went well or not."""

    def __init__(
        self,
        stream: TextIO | None = None,
        clock: Callable[[], float] = time.monotonic,
        counts: str = "",
        *,
        quiet: bool = False,
    ) -> None:
        """counts: what is counted, when it is not bytes. quiet: nothing is shown."""
        self._quiet = quiet
        self._counts = counts
        self._stream = stream or sys.stderr
        self._clock = clock
        self._terminal = self._stream.isatty()
        self._phase = ""
        self._began = self._drawn = 0.0
        self._done = self._total = 0

    @property
    def is_watched(self) -> bool:
        return self._terminal and not self._quiet

    def show(self, phase: str, done: int, total: int) -> None:
        """total: 0 when nobody knows."""
        if self._quiet:
            return
        now = self._clock()
        if phase != self._phase:
            self.finish()
            self._phase, self._began, self._drawn = phase, now, now - REDRAW_S
            if not self._terminal:
                self._line(f"{phase}: {self._amount(total) if total else 'begun'}")
        self._done, self._total = done, total
        if self._terminal and now - self._drawn >= REDRAW_S:
            self._drawn = now
            self._draw()

    def finish(self, *, whole: bool = True) -> None:
        """whole: the phase came to its end. Of one that broke off before it had done anything nothing is said."""
        if not self._phase:
            return
        if whole and not self._counts:
            self._done = self._total or self._done  # nobody asked again how far it was when it was there
        if self._terminal:
            self._draw()
            self._line("")
        elif whole or self._done:
            self._line(f"{self._phase}: {self._ending(whole=whole)}")
        self._phase = ""

    def _ending(self, *, whole: bool) -> str:
        if not whole:
            return f"{self._amount(self._done)}, then broken off"
        took = duration(self._clock() - self._began)
        return f"{self._amount(self._done)} in {took}" if self._is_measured else took

    @property
    def _is_measured(self) -> bool:
        return bool(self._done or self._total or self._counts)

    def _draw(self) -> None:
        elapsed_s = self._clock() - self._began
        width = columns(self._stream)
        if self._counts:
            line = f"{self._phase}  {self._done} of {self._total} {self._counts}  {duration(elapsed_s)}"[: width - 1]
        elif self._is_measured:
            line = bar(self._phase, self._done, self._total, elapsed_s, width)
        else:
            line = f"{self._phase}  {duration(elapsed_s)}"[: width - 1]
        self._stream.write(f"\r\x1b[K{line}")
        self._stream.flush()

    def _amount(self, value: int) -> str:
        return f"{value} {self._counts}" if self._counts else format_size(value)

    def _line(self, text: str) -> None:
        self._stream.write(text + "\n")
        self._stream.flush()


def bar(phase: str, done: int, total: int, elapsed_s: float, columns: int) -> str:
    """Return one line that is shorter than `columns`."""
    rate = done / elapsed_s if elapsed_s >= REDRAW_S else 0.0
    speed = f"{format_size(int(rate))}/s"
    if not total:
        return "  ".join((phase, format_size(done), speed))[: columns - 1]
    left = f"{duration((total - done) / rate)} left" if rate and done < total else duration(elapsed_s)
    share = min(done / total, 1.0)
    facts = f"{share:4.0%}  {format_size(done)} of {format_size(total)}  {speed}  {left}"
    room = min(columns - 1 - len(phase) - len(facts) - 6, BAR_MOST)
    if room < BAR_LEAST:
        return f"{phase}  {facts}"[: columns - 1]
    full = int(share * room)
    return f"{phase}  [{'#' * full}{'.' * (room - full)}]  {facts}"


def duration(seconds: float) -> str:
    """Return "3.1 s" under a minute, else "2:05" or "1:02:05"."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
