"""Documents that people hand over: read from a file or stdin, or made in their editor."""

from __future__ import annotations

import os
import sys
from contextlib import suppress

from pvc.cli.failure import Failure


def read(name: str) -> str:
    """Return the text of a file, of stdin for "-"."""
    try:
        if name == "-":
            return sys.stdin.buffer.read().decode("utf-8-sig")
        with open(name, encoding="utf-8-sig") as file:
            return file.read()
    except OSError as exc:
        raise Failure("usage", f'The file "{name}" cannot be read: {exc.strerror}') from exc
    except UnicodeDecodeError as exc:
        raise Failure("usage", f'The file "{name}" is not UTF-8 text.') from exc


def write(name: str, data: bytes) -> None:
    """A whole new file that nobody else can read, or the old one stays; into what is no file, as it is."""
    beside = f"{name}.new"
    try:
        if os.path.exists(name) and not os.path.isfile(name):
            with open(name, "wb") as sink:
                sink.write(data)
            return
        with suppress(FileNotFoundError):
            os.unlink(beside)
        with open(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, name)
    except OSError as exc:
        raise Failure("usage", f'The file "{name}" cannot be written: {exc.strerror}') from exc


def edit(text: str, suffix: str) -> tuple[str, str]:
    """Let the user edit `text`; return it and the file that holds it, which is the caller's to remove."""
    import subprocess
    import tempfile

    from pvc.environment import child_environment

    with tempfile.NamedTemporaryFile("w", suffix=suffix, prefix="pvc-", delete=False, encoding="utf-8") as file:
        file.write(text)
    editor = os.environ.get("VISUAL") or os.environ.get("EDITOR") or "vi"
    try:
        result = subprocess.run([*editor.split(), file.name], env=child_environment(), check=False)
    except OSError as exc:
        os.unlink(file.name)
        raise Failure("usage", f'The editor "{editor}" cannot be run: {exc.strerror}') from exc
    if result.returncode:
        raise Failure("declined", f'The editor ended with {result.returncode}; the text is kept in "{file.name}".')
    return read(file.name), file.name
