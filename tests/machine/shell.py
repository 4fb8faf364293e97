"""The shell client as a test uses it: run a command, read its JSON, follow a guest's console."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pvc.cli.client import Client
from pvc.cli.sse import blocks

PROGRAM = (sys.executable, "-m", "pvc")

DOMAIN = """<domain>
  <name>{name}</name>
  <memory unit='MiB'>128</memory>
  <vcpu>1</vcpu>
  <features><acpi/></features>
  <devices>
    <disk type='volume' device='disk'><source pool='{pool}' volume='{name}'/><target dev='vda' bus='virtio'/></disk>
    {more}
  </devices>
</domain>
"""


@dataclass(frozen=True, slots=True)
class Said:
    """err: without what is said while an answer is waited for, which depends on how fast the machine is."""

    code: int
    out: str
    err: str


class Shell:
    """pool, node: where it makes volumes, and VMs; pvc chooses the node when it is empty."""

    def __init__(self, url: str, pool: str = "local", node: str = "") -> None:
        self.environment = os.environ | {"PVC_URL": url}
        self.url, self.pool, self.node = url, pool, node

    def run(self, *words: str, stdin: str | None = None) -> Said:
        done = subprocess.run(
            [*PROGRAM, *words], env=self.environment, input=stdin or "", capture_output=True, text=True, timeout=120
        )
        lines = (line for line in done.stderr.splitlines(keepends=True) if not line.startswith("Waiting for "))
        return Said(done.returncode, done.stdout, "".join(lines))

    def do(self, *words: str, stdin: str | None = None) -> str:
        """Run a command that must go well; returns what it said."""
        said = self.run(*words, stdin=stdin)
        assert said.code == 0, f"pvc {' '.join(words)}: exit code {said.code}: {said.err}"
        return said.out

    def ask(self, *words: str) -> Any:
        return json.loads(self.do(*words, "-f", "json"))

    def vm(self, name: str) -> dict[str, Any]:
        [shown] = [one for one in self.ask("vm", "list") if one["name"] == name]
        return dict(shown)

    def until(self, holds: Callable[[], bool], *kinds: str) -> None:
        """Return once it holds: looked at now, and again whenever something of these kinds has changed."""
        with closing(Client(self.url).stream("events", follow=True, kind=list(kinds))) as stream:
            if not any(holds() for _block in blocks(stream)):
                raise AssertionError("The stream of events is over.")

    def make_vm(self, name: str, image: Path, *, more: str = "", node: str = "") -> None:
        """A stopped VM whose disk holds `image`."""
        self.do("storage", "volume", "add", self.pool, name, "48M")
        self.do("storage", "volume", "upload", self.pool, name, str(image), "-f", image.suffix[1:])
        self.define(DOMAIN.format(name=name, pool=self.pool, more=more), node=node)

    def define(self, document: str, *, node: str = "") -> None:
        placed = ["--node", node or self.node] if node or self.node else []
        self.do("vm", "define", "-", *placed, stdin=document)

    def hear(self, name: str, sought: Callable[[str], bool]) -> str:
        """Follow the console of a VM until a line is the one sought; returns it."""
        with self.following(name) as lines:
            for line in lines:
                if sought(line):
                    return line
        raise AssertionError(f'The console of "{name}" ended without the line that was sought.')

    @contextmanager
    def following(self, name: str, past: int = 1000) -> Iterator[Iterator[str]]:
        """past: lines that were written before, at most."""
        command = [*PROGRAM, "vm", "log", name, "-f", "-l", str(past)]
        process = subprocess.Popen(command, env=self.environment, stdout=subprocess.PIPE, text=True, errors="replace")
        deadline = threading.Timer(90, process.kill)
        deadline.start()
        try:
            if process.stdout is None:
                raise AssertionError("no output")
            yield iter(process.stdout.readline, "")
        finally:
            deadline.cancel()
            process.kill()
            process.wait()
            if process.stdout is not None:
                process.stdout.close()
