"""Images of a Ceph pool that are no volumes, or not yet, or not now. Everything here blocks.

NAME                     volumes; their snapshots are Ceph's own
.pvc.draft.RANDOM        drafts, scratch space, copies being made; open as long as their process lives
.pvc.old.RANDOM.NAME     a volume while its content is replaced: no guest finds it; after a crash it gets its name back
.pvc.gone.RANDOM         a volume that is being removed

Why it is done like this: docs/design/007-rbd-content-is-exchanged.md
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from contextlib import suppress

from pvc.errors import NotFound
from pvc.storage.ceph import Cluster, Image, about

HIDDEN = ".pvc."


def new_name(kind: str, volume: str = "") -> str:
    """kind: "draft", "old" or "gone"; volume: whose name it must remember."""
    return ".".join([f"{HIDDEN}{kind}", secrets.token_hex(8), *([volume] if volume else [])])


def asides(names: Iterable[str]) -> dict[str, str]:
    """The volumes' names of the images that were moved aside."""
    prefix = f"{HIDDEN}old."
    return {name: name.removeprefix(prefix).partition(".")[2] for name in names if name.startswith(prefix)}


class Hidden:
    """An image to be: created, filled, then put in place or dropped. Open, and so alive, until then."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self.name = new_name("draft")
        self._image: Image | None = None
        self._created = False

    @property
    def image(self) -> Image:
        if self._image is None:
            raise NotFound(kind="image", name=self.name)
        return self._image

    def create(self, size: int) -> None:
        self._created = True
        self._cluster.create(self.name, size)
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
