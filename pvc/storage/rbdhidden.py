"""Images of a Ceph pool that are no volumes, or not yet, or not now. Everything here blocks.

NAME                     volumes; their snapshots are Ceph's own
.pvc.draft.RANDOM.NAME   drafts, scratch space, copies being made; open as long as their process lives
.pvc.old.RANDOM.NAME     a volume while its content is replaced: no guest finds it; after a crash it gets its name back
.pvc.gone.RANDOM.NAME    a volume that is being removed

NAME is the volume's whose lock the maker holds (pvc/cluster/leftovers.py).
Why it is done like this: docs/design/007-rbd-content-is-exchanged.md
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from contextlib import suppress

from pvc.errors import NotFound
from pvc.storage.ceph import Cluster, Image, about

HIDDEN = ".pvc."


def new_name(kind: str, volume: str) -> str:
    """kind: "draft", "old" or "gone"."""
    return f"{HIDDEN}{kind}.{secrets.token_hex(8)}.{volume}"


def volume_of(name: str) -> str:
    """The volume that a hidden image is for, "" when its name does not tell."""
    _kind, _, rest = name.removeprefix(HIDDEN).partition(".")
    return rest.partition(".")[2]


def asides(names: Iterable[str]) -> dict[str, str]:
    """The volumes' names of the images that were moved aside."""
    return {name: volume_of(name) for name in names if name.startswith(f"{HIDDEN}old.")}


class Hidden:
    """An image to be: created, filled, then put in place or dropped. Open, and so alive, until then."""

    def __init__(self, cluster: Cluster, volume: str) -> None:
        self._cluster = cluster
        self.name = new_name("draft", volume)
        self._image: Image | None = None
        self._created = False

    @property
    def image(self) -> Image:
        if self._image is None:
            raise NotFound(kind="image", name=self.name)
        return self._image

    def create(self, size: int, *, mapped: bool = True) -> None:
        """mapped: see Cluster.create."""
        self._created = True
        self._cluster.create(self.name, size, mapped=mapped)
        self._image = self._cluster.open(self.name, writable=True)

    def put(self, name: str) -> None:
        """Make it the volume."""
        self._cluster.rename(self.name, name)
        self._created = False

    def drop(self) -> None:
        """Remove it, unless it was put in place; may be called at any time."""
        image, self._image = self._image, None
        if image is not None:
            image.close()
        if self._created:
            with suppress(NotFound), about("image", self.name):
                self._cluster.remove(self.name)
        self._created = False
