"""The clusters that a user has names for: address, token file and certificates of each, in one file of theirs."""

from __future__ import annotations

import json
import os

from pvc.cli.failure import Failure

Cluster = dict[str, str]


def find(name: str) -> Cluster:
    """Raises Failure "usage", with the names that are like it."""
    known = load()
    if name in known:
        return known[name]
    from pvc.cli.hints import similar

    near = ", ".join(f'"{one}"' for one in similar(name, list(known)))
    hint = f"Similar: {near}." if near else 'Make it with "pvc cluster add", or give an address with -c.'
    raise Failure("usage", f'No cluster "{name}". {hint}')


def load() -> dict[str, Cluster]:
    """Clusters by name. Raises Failure "usage" for a file that cannot be read."""
    try:
        with open(path(), encoding="utf-8") as file:
            found: dict[str, Cluster] = json.load(file)
    except FileNotFoundError:
        return {}
    except OSError as exc:
        raise Failure("usage", f'"{path()}" cannot be read: {exc.strerror}') from exc
    except ValueError as exc:
        raise Failure("usage", f'"{path()}" is not JSON: {exc}') from exc
    return found


def save(clusters: dict[str, Cluster]) -> None:
    """Replace the file as a whole. Raises Failure "usage"."""
    new = f"{path()}.new"
    try:
        os.makedirs(os.path.dirname(new), mode=0o700, exist_ok=True)
        with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
            json.dump(clusters, file, indent=2)
            file.write("\n")
        os.replace(new, path())
    except OSError as exc:
        raise Failure("usage", f'"{path()}" cannot be written: {exc.strerror}') from exc


def path() -> str:
    folder = os.environ.get("XDG_CONFIG_HOME") or os.path.expanduser("~/.config")
    return os.path.join(folder, "pvc", "clusters.json")
