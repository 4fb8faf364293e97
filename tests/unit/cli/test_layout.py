from __future__ import annotations

import io

import pytest

from pvc.cli.layout import cell, coloured, memory_of, section, size, table, width
from pvc.cli.progress import Progress, bar, duration


def test_columns_are_aligned_by_what_the_terminal_shows() -> None:
    rows = [{"name": "日本", "count": 5}, {"name": "e\u0301", "count": 1000}]
    lines = list(table(rows, [("NAME", "name"), (">COUNT", "count"), ("LAST", "none")]))
    assert lines == ["NAME  COUNT  LAST", "日本      5  -", "e\u0301      1000  -"]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "-"),
        ("", "-"),
        ([], "-"),
        (0, "0"),
        (True, "yes"),
        (False, "no"),
        (["a", None], "a, -"),
        ("a\tb\x07\x9b", "a b  "),
    ],
)
def test_a_cell_is_one_line_of_harmless_text(value: object, text: str) -> None:
    assert cell(value) == text


def test_a_section_without_rows_is_nothing() -> None:
    assert list(section("Disks", [], [("DEVICE", "dev")])) == []


def test_sizes_that_the_api_wrote_out_are_left() -> None:
    assert [size(10 << 30), size("10G"), size(None)] == ["10G", "10G", None]


def test_memory_that_the_guest_has_not_yet_is_told() -> None:
    two = {"memory": 2048, "memory_stats": {"actual": 1 << 20}}
    assert memory_of(two) == "2G at its next start, now 1G"
    assert memory_of({"memory": 1024, "memory_stats": {"actual": 1 << 20}}) == "1G"
    assert [memory_of({"memory": 1024, "memory_stats": {}}), memory_of({"memory": 0})] == ["1G", "0B"]


def test_a_difference_is_coloured_line_by_line() -> None:
    assert list(coloured([" same", "-out", "+in"])) == [" same", "\x1b[31m-out\x1b[0m", "\x1b[32m+in\x1b[0m"]


def test_a_bar_tells_share_speed_and_time_left() -> None:
    line = bar("receiving", 1 << 30, 4 << 30, 10.0, 100)
    assert line == f"receiving  [{'#' * 10}{'.' * 30}]   25%  1G of 4G  102.4M/s  30.0 s left"


def test_a_bar_that_has_just_begun_guesses_no_speed() -> None:
    assert bar("receiving", 4 << 20, 4 << 30, 0.00001, 100).endswith("4M of 4G  0B/s  0.0 s")


@pytest.mark.parametrize("total", [0, 4 << 30])
def test_a_bar_never_reaches_the_edge(total: int) -> None:
    for columns in range(1, 200):
        assert width(bar("converting", 1 << 30, total, 7.0, columns)) < columns


@pytest.mark.parametrize(("done", "total", "elapsed_s"), [(0, 0, 0.0), (0, 10, 0.0), (0, 10, 5.0), (20, 10, 5.0)])
def test_a_bar_bears_any_numbers(done: int, total: int, elapsed_s: float) -> None:
    assert "receiving" in bar("receiving", done, total, elapsed_s, 80)


@pytest.mark.parametrize(("seconds", "text"), [(0.04, "0.0 s"), (59.9, "59.9 s"), (125.0, "2:05"), (3725.0, "1:02:05")])
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_the_bar_is_drawn_at_most_ten_times_a_second_and_at_the_end() -> None:
    terminal, clock = Terminal(), Clock()
    progress = Progress(terminal, clock)
    for done, clock.now in ((0, 0.0), (1, 0.05), (2, 0.15), (3, 0.2)):
        progress.show("receiving", done, 4)
    progress.finish()
    assert terminal.getvalue().count("\r\x1b[K") == 3
    assert terminal.getvalue().endswith("\n")


def test_without_a_terminal_a_phase_is_two_lines() -> None:
    stream, clock = io.StringIO(), Clock()
    progress = Progress(stream, clock)
    progress.show("receiving", 0, 2048)
    clock.now = 3.0
    progress.show("receiving", 2048, 2048)
    progress.show("converting", 0, 0)
    progress.finish()
    progress.finish()
    assert stream.getvalue().splitlines() == [
        "receiving: 2K",
        "receiving: 2K in 3.0 s",
        "converting: begun",
        "converting: 0.0 s",
    ]


@pytest.mark.parametrize(("counts", "told"), [("", "1K, then broken off"), ("VMs", "1024 VMs, then broken off")])
def test_how_far_it_was_when_it_broke_off_is_told(counts: str, told: str) -> None:
    stream = io.StringIO()
    progress = Progress(stream, counts=counts)
    progress.show("going", 1024, 2048)
    progress.finish(whole=False)
    assert stream.getvalue().splitlines()[1] == f"going: {told}"


def test_what_nobody_can_measure_shows_how_long_it_goes_on() -> None:
    terminal, clock = Terminal(), Clock()
    progress = Progress(terminal, clock)
    progress.show("rolling back", 0, 0)
    clock.now = 62.0
    progress.show("rolling back", 0, 0)
    progress.finish()
    drawn = terminal.getvalue().split("\r\x1b[K")[1:]
    assert drawn == ["rolling back  0.0 s", "rolling back  1:02", "rolling back  1:02\n"]


def test_of_what_broke_off_before_it_began_nothing_is_said() -> None:
    stream = io.StringIO()
    progress = Progress(stream)
    progress.show("prepare", 0, 0)
    progress.finish(whole=False)
    assert stream.getvalue() == "prepare: begun\n"
