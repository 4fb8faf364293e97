"""Runs `pvc` commands before the reader's eyes, and asks pvc quietly what is true."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any


class Unverified(Exception):
    """One sentence: what a step should have shown and did not."""


class Show:
    """program: the pvc to run. folder: where its commands are typed. environment: what they need to reach pvc serve."""

    def __init__(self, program: Path, folder: Path, environment: Mapping[str, str]) -> None:
        self._program, self._folder = str(program), folder
        self._environment = os.environ | environment

    def type(self, command: str) -> None:
        """Run `pvc …` as typed; its output goes where ours goes. Raises Unverified when it fails."""
        self._prompt(command)
        code = subprocess.run(self._words(command), cwd=self._folder, env=self._environment).returncode
        if code:
            raise Unverified(f"The command ended with exit code {code}.")

    def cat(self, name: str) -> None:
        self._prompt(f"cat {name}")
        say((self._folder / name).read_text().rstrip())

    def ask(self, command: str) -> Any:
        """The JSON answer of a command, unseen."""
        words = [*self._words(command), "--output", "json"]
        answer = subprocess.run(words, cwd=self._folder, env=self._environment, capture_output=True, text=True)
        if answer.returncode:
            raise Unverified(f'"{command}" said: {answer.stderr.strip()}')
        return json.loads(answer.stdout)

    def watch(self, command: str, *patterns: str, timeout_s: float = 40) -> str:
        """Run a command that goes on and on, show its lines until each pattern was found, in order; return the last."""
        self._prompt(command)
        with self._lines(command, timeout_s) as lines:
            line = ""
            for pattern in patterns:
                line = _find(pattern, lines)
        return line

    def _prompt(self, command: str) -> None:
        say(f"{BOLD}$ {command}{PLAIN}")

    def _words(self, command: str) -> list[str]:
        first, *rest = shlex.split(command)
        return [self._program if first == "pvc" else first, *rest]

    @contextmanager
    def _lines(self, command: str, timeout_s: float) -> Iterator[Iterator[str]]:
        process = subprocess.Popen(
            self._words(command), cwd=self._folder, env=self._environment, stdout=subprocess.PIPE, text=True
        )
        deadline = threading.Timer(timeout_s, process.terminate)  # the one file is two processes: let it tidy up
        deadline.start()
        try:
            yield _stripped(process.stdout)
        finally:
            deadline.cancel()
            process.terminate()
            process.communicate()


def _find(pattern: str, lines: Iterator[str]) -> str:
    for line in lines:
        say(line)
        if re.search(pattern, line):
            return line
    raise Unverified(f'The console never said "{pattern}".')


def _stripped(stream: IO[str] | None) -> Iterator[str]:
    for line in stream or ():
        if text := line.strip():
            yield text


def say(text: str = "") -> None:
    print(text, flush=True)


BOLD, GREEN, RED, PLAIN = ("\033[1m", "\033[32m", "\033[31m", "\033[0m") if sys.stdout.isatty() else ("", "", "", "")
