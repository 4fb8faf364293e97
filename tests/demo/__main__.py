"""`make demo`: boots a real guest from a streamed image and plugs devices in and out, each step verified.

KEEP=1 leaves it running.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

from tests.demo import stage, steps
from tests.demo.show import BOLD, GREEN, PLAIN, RED, Unverified, say
from tests.demo.stage import Stage
from tests.parts.readiness import NotReady

Row = tuple[str, str, float]


class Failed(Exception):
    """The text tells which step, and why."""


def main() -> int:
    program = _program()
    if os.geteuid() != 0:
        say("The demo needs root: it makes a bridge and starts guests.")
        return 1
    signal.signal(signal.SIGTERM, _interrupt)
    began = time.monotonic()
    try:
        rows = _run(program, keep=os.environ.get("KEEP") == "1")
    except (Failed, NotReady) as exc:
        say("\n".join([f"\n{RED}Failed:{PLAIN} {exc}", *getattr(exc, "__notes__", ())]))
        return 1
    except KeyboardInterrupt:
        say("\nInterrupted; everything is removed again.")
        return 130
    _summary(rows, time.monotonic() - began)
    return 0


def _run(program: Path, *, keep: bool) -> list[Row]:
    with stage.opened(program) as on:
        try:
            rows = _play(on, steps.STEPS if keep else (*steps.STEPS, *steps.ENDING))
        except Failed:
            say(f"\nThe last lines of pvc serve's log:\n{on.serve.log_tail()}")
            raise
        if keep:
            on.keep()
        return rows


def _play(on: Stage, planned: Sequence[steps.Step]) -> list[Row]:
    rows = []
    for number, step in enumerate(planned, 1):
        say(f"\n{BOLD}{number}. {step.title}{PLAIN}")
        began = time.monotonic()
        try:
            verified = step.act(on)
        except Exception as exc:
            reason = exc if isinstance(exc, Unverified) else repr(exc)
            raise Failed(f'step {number}, "{step.title}": {reason}') from exc
        say(f"{GREEN}ok:{PLAIN} {verified}")
        rows.append((step.title, verified, time.monotonic() - began))
    return rows


def _summary(rows: list[Row], total_s: float) -> None:
    say(f"\n{BOLD}All {len(rows)} steps were verified in {total_s:.0f} s:{PLAIN}")
    width = max(len(title) for title, _, _ in rows)
    for number, (title, verified, took_s) in enumerate(rows, 1):
        say(f"{number:3}  {title:{width}}  {took_s:5.1f} s  {verified}")


def _program() -> Path:
    parser = argparse.ArgumentParser(prog="python -m tests.demo", description=__doc__)
    parser.add_argument("--pvc", type=Path, default=Path(sys.executable).with_name("pvc"), help="the pvc to show")
    program: Path = parser.parse_args().pvc.absolute()
    if not os.access(program, os.X_OK):
        parser.error(f'"{program}" is not a program.')
    return program


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


sys.exit(main())
