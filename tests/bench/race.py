"""Runs contenders in turns, so that a busy moment of the machine hurts all of them, and prints medians side by side."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field


@dataclass(slots=True)
class Contender:
    """undo: after each round, not timed."""

    name: str
    run: Callable[[], object]
    undo: Callable[[], object] = lambda: None
    seconds: list[float] = field(default_factory=list)
    processor_s: list[float] = field(default_factory=list)

    @property
    def median_s(self) -> float:
        return statistics.median(self.seconds)


def race(contenders: Sequence[Contender], rounds: int, meter: Callable[[], float] = lambda: 0.0) -> None:
    """Fill `seconds`; who begins changes from round to round. meter: seconds that processors have worked so far."""
    for number in range(rounds):
        first = number % len(contenders)
        for contender in (*contenders[first:], *contenders[:first]):
            began, worked = time.perf_counter(), meter()
            contender.run()
            contender.seconds.append(time.perf_counter() - began)
            contender.processor_s.append(meter() - worked)
            contender.undo()


def report(title: str, contenders: Sequence[Contender], size: int = 0) -> None:
    """The first contender is what the others are compared with. size: bytes moved, for MB/s."""
    print(f"\n{title}, median of {len(contenders[0].seconds)} rounds")
    width = max(len(contender.name) for contender in contenders)
    for contender in contenders:
        took_s = contender.median_s
        speed = f"{size / took_s / 1e6:9.0f} MB/s" if size else ""
        ratio = took_s / contenders[0].median_s
        spread = f"{min(contender.seconds) * 1000:.0f} to {max(contender.seconds) * 1000:.0f}"
        print(f"  {contender.name:{width}}  {took_s * 1000:9.1f} ms{speed}  {ratio:6.2f} x  ({spread} ms)", flush=True)
        if any(contender.processor_s):
            print(f"  {'':{width}}  {statistics.median(contender.processor_s):9.2f} s of processors", flush=True)
