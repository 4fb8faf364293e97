"""The daemon's own log as a file, for whoever asks for the node's log; written by a thread of its own."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from logging.handlers import QueueHandler, QueueListener, RotatingFileHandler
from pathlib import Path
from queue import Queue

from pvc.config import ConfigProblems

# Lines that a disk which does not answer may hold up; what is more is told to standard error alone.
_MOST_WAITING = 10_000


@contextmanager
def kept(path: Path, most_bytes: int) -> Iterator[None]:
    """Write all that is logged to `path` too while the context lasts; half of `most_bytes` may be in PATH.1.

    Raises ConfigProblems.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = RotatingFileHandler(path, maxBytes=most_bytes // 2, backupCount=1, encoding="utf-8")
    except OSError as exc:
        raise ConfigProblems([f'agent.log_path "{path}" cannot be written: {exc.strerror}']) from exc
    file.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    waiting: Queue[logging.LogRecord] = Queue(_MOST_WAITING)
    handler, writer = QueueHandler(waiting), QueueListener(waiting, file)
    logging.getLogger().addHandler(handler)
    writer.start()
    try:
        yield
    finally:
        logging.getLogger().removeHandler(handler)
        writer.stop()
        file.close()
