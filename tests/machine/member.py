"""One daemon of a cluster on this machine, with a folder of its own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.parts.serve import PVC


@contextmanager
def member(mode: str, folder: Path, name: str, config: str) -> Iterator[PVC]:
    """Runs while the context lasts. name: of its folder in `folder`."""
    home = folder / name
    home.mkdir(exist_ok=True)
    (home / "pvc.toml").write_text(config)
    daemon = PVC(mode, home / "pvc.toml")
    try:
        daemon.start()
        yield daemon
    except BaseException as exc:
        exc.add_note(daemon.log_tail())
        raise
    finally:
        daemon.kill()
