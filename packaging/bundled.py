"""Prints whose Python packages the frozen program has inside, and under which licences: for the package's copyright."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from importlib.metadata import metadata, packages_distributions

from PyInstaller.archive.readers import CArchiveReader  # type: ignore[import-untyped]


def lines(program: str) -> Iterator[str]:
    for name in sorted(_packages(program) - {"pvc"}, key=str.lower):
        told = metadata(name)
        yield ""
        yield f"Files: usr/lib/pvc/{name}"
        yield f"Comment: {name} {told['Version']}, {told['Home-page'] or _first_url(told.get_all('Project-URL'))}"
        yield "Copyright: its authors"
        yield f"License: {_licence(told['License-Expression'] or told['License'], told.get_all('Classifier'))}"


def _packages(program: str) -> set[str]:
    modules = {name.partition(".")[0] for name in CArchiveReader(program).open_embedded_archive("PYZ.pyz").toc}
    packages = packages_distributions()
    return {package for module in modules for package in packages.get(module, [])}


def _first_url(urls: list[str] | None) -> str:
    return (urls or ["no address told"])[0].partition(", ")[2]


def _licence(told: str | None, classifiers: list[str] | None) -> str:
    """In one line; a classifier's last part where nothing else is told."""
    if told and "\n" not in told:
        return told
    return next(text.rpartition(" :: ")[2] for text in classifiers or [] if text.startswith("License ::"))


if __name__ == "__main__":
    print("\n".join(lines(sys.argv[1])))
