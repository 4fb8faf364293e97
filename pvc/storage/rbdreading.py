"""Reading images in Ceph. Everything here blocks."""

from __future__ import annotations

from pvc.storage.ceph import Image, extents


class ImageReader:
    """Of an image that whoever opened it closes."""

    def __init__(self, image: Image) -> None:
        self._image = image

    def size(self) -> int:
        return self._image.size()

    def stretches(self) -> list[tuple[int, int]]:
        return [(start, start + length) for start, length in extents(self._image)]

    def read(self, start: int, length: int) -> bytes:
        return self._image.read(start, length)

    def close(self) -> None:
        pass


class SnapshotReader(ImageReader):
    """Of an image, opened at a snapshot, that is its own."""

    def close(self) -> None:
        self._image.close()
