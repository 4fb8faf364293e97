"""The environment for programs that pvc starts: the frozen program's own library path must not reach them."""

from __future__ import annotations

import os
import sys


def child_environment() -> dict[str, str]:
    """Return the environment that pvc was started with.

    The frozen program's starter sets LD_LIBRARY_PATH to its own libraries and keeps what was there in
    LD_LIBRARY_PATH_ORIG. Source: https://pyinstaller.org/en/stable/common-issues-and-pitfalls.html
    """
    environment = dict(os.environ)
    if getattr(sys, "frozen", False):
        environment.pop("LD_LIBRARY_PATH", None)
        if original := environment.pop("LD_LIBRARY_PATH_ORIG", ""):
            environment["LD_LIBRARY_PATH"] = original
    return environment
