"""The daemons of pvc; a `pvc serve` with a folder of its own: store, pool, sockets and console logs."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.parts.daemon import Daemon
from tests.parts.place import HERE, Place

CONFIG = """\
[api]
socket = "{folder}/pvc.sock"
listen = "{listen}"

[store]
{store}

[pools.local]
path = "{folder}/pool"

[hypervisor]
uri = "{libvirt_uri}"
console_path = "{folder}/consoles"

[agent]
socket = "{folder}/agent.sock"
log_path = "{folder}/agent.log"
"""


class PVC(Daemon):
    """A `pvc serve` or `pvc agent`; its guests outlive it.

    config: in an existing folder with a short name. program: how to call pvc.
    """

    def __init__(
        self,
        mode: str,
        config: Path,
        *,
        place: Place = HERE,
        program: Sequence[str] = (sys.executable, "-m", "pvc"),
    ) -> None:
        super().__init__(f"pvc {mode}", config.parent / f"{mode}.log", place)
        self.config, self._words = config, [*program, mode]

    @property
    def pid(self) -> int:
        """Of the process that works: the one file unpacks itself and starts what it holds as its child."""
        started = super().pid
        children = map(int, Path(f"/proc/{started}/task/{started}/children").read_text().split())
        return next((child for child in children if _program(child) == _program(started)), started)

    def _launch(self) -> None:
        self._run_until_ready(self._words, self.config.with_suffix(".ready"), {"PVC_CONFIG": str(self.config)})

    def _signal(self, number: signal.Signals) -> None:
        os.kill(self.pid, number)


class Serve(PVC):
    """`pvc serve`, standalone. folder: exists, with a short name. extra: more configuration, appended.

    listen: ADDRESS:PORT, for tokens. store: lines of its section; a file in the folder where nothing is said.
    """

    def __init__(
        self,
        folder: Path,
        libvirt_uri: str,
        *,
        program: Sequence[str] = (sys.executable, "-m", "pvc"),
        listen: str = "",
        extra: str = "",
        store: str = "",
    ) -> None:
        super().__init__("serve", folder / "pvc.toml", program=program)
        self.folder = folder
        store = store or f'path = "{folder}/pvc.db"'
        self.config.write_text(
            CONFIG.format(folder=folder, libvirt_uri=libvirt_uri, listen=listen, store=store) + extra
        )

    @property
    def url(self) -> str:
        """What clients take as PVC_URL."""
        return f"unix:{self.folder}/pvc.sock"

    @property
    def pool(self) -> Path:
        return self.folder / "pool"

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException as exc:
            exc.add_note(self.log_tail())
            self.kill()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, at: TracebackType | None) -> None:
        self.stop()


def _program(pid: int) -> str:
    return os.readlink(f"/proc/{pid}/exe")
