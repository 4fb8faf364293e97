"""Each check in a process of its own, so that a library which hangs in it is left behind with it."""

from __future__ import annotations

import json
import os
import select
import signal
import sys
import time
import traceback
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass

from pvc.doctor.findings import Finding, Verdict, wrong


@dataclass(frozen=True, slots=True)
class Check:
    """findings: worked out as they are asked for. silent: what is said, with `mend`, when they do not come in time."""

    name: str
    findings: Iterable[Finding]
    silent: str = "This could not be found out"
    mend: str = ""
    patience_s: float = 5.0


def examined(check: Check) -> Iterator[Finding]:
    """What the check finds, or that it found nothing in time."""
    reading, writing = os.pipe()
    sys.stdout.flush()
    pid = os.fork()
    if pid == 0:
        _answer(check, writing)
    os.close(writing)
    try:
        answer = _read(reading, check.patience_s)
    finally:
        os.close(reading)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    if answer is None:
        yield wrong(check.name, f"{check.silent} within {check.patience_s:g} s.", check.mend)
    elif not answer:
        yield wrong(check.name, "This check ended before it found anything.")
    else:
        yield from (Finding(**{**found, "verdict": Verdict(found["verdict"])}) for found in json.loads(answer))


def _answer(check: Check, writing: int) -> None:
    """In the child, which ends here: what the parent has to do at its own end is not done twice."""
    try:
        with os.fdopen(writing, "wb") as pipe:
            pipe.write(json.dumps([asdict(finding) for finding in check.findings]).encode())
    finally:
        if problem := sys.exc_info()[1]:
            traceback.print_exception(problem)
        os._exit(0)


def _read(pipe: int, seconds: float) -> bytes | None:
    """All that is written, until the other end is closed; None when that takes longer."""
    data, until = b"", time.monotonic() + seconds
    while select.select([pipe], [], [], max(until - time.monotonic(), 0))[0]:
        more = os.read(pipe, 1 << 16)
        if not more:
            return data
        data += more
    return None
