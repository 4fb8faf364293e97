"""Prometheus' text format: samples by metric, and the page that is made of them. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_ESCAPES = str.maketrans({"\\": "\\\\", '"': '\\"', "\n": "\\n"})


class Type(StrEnum):
    GAUGE = "gauge"
    COUNTER = "counter"
    HISTOGRAM = "histogram"


@dataclass(frozen=True, slots=True)
class Metric:
    """labels: by name, in the order in which `Page.add` takes their values."""

    name: str
    type: Type
    help: str
    labels: tuple[str, ...] = ()


@dataclass(slots=True)
class Histogram:
    """counts: of what was at most each of `bounds`, and a last one of all that was more."""

    bounds: Sequence[float]
    counts: list[int] = field(default_factory=list)
    total: float = 0.0

    def __post_init__(self) -> None:
        self.counts = [0] * (len(self.bounds) + 1)

    def note(self, value: float) -> None:
        place = next((place for place, bound in enumerate(self.bounds) if value <= bound), len(self.bounds))
        self.counts[place] += 1
        self.total += value


class Page:
    """What one scrape is answered with: the samples of each metric together, in the order of their declaration."""

    def __init__(self, metrics: Iterable[Metric]) -> None:
        self._samples: dict[str, list[str]] = {metric.name: [] for metric in metrics}
        self._metrics = {metric.name: metric for metric in metrics}

    def add(self, name: str, value: float | None, *labels: str) -> None:
        """value: None for what is not known, which is no sample."""
        if value is not None:
            self._samples[name].append(f"{name}{_labelled(self._metrics[name].labels, labels)} {_number(value)}")

    def add_histogram(self, name: str, histogram: Histogram, *labels: str) -> None:
        names, counted = self._metrics[name].labels, 0
        for bound, count in zip((*histogram.bounds, float("inf")), histogram.counts, strict=True):
            counted += count
            until = "+Inf" if bound == float("inf") else _number(bound)
            self._samples[name].append(f"{name}_bucket{_labelled((*names, 'le'), (*labels, until))} {counted}")
        own = _labelled(names, labels)
        self._samples[name] += [f"{name}_sum{own} {_number(histogram.total)}", f"{name}_count{own} {counted}"]

    def pieces(self) -> Iterator[bytes]:
        """One for each metric that has samples."""
        for name, samples in self._samples.items():
            if samples:
                metric = self._metrics[name]
                head = [f"# HELP {name} {metric.help}", f"# TYPE {name} {metric.type}"]
                yield "\n".join([*head, *samples, ""]).encode()


def _labelled(names: Sequence[str], values: Sequence[str]) -> str:
    pairs = [f'{name}="{value.translate(_ESCAPES)}"' for name, value in zip(names, values, strict=True)]
    return f"{{{','.join(pairs)}}}" if pairs else ""


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else repr(value)
