"""What an upload's first bytes say, decided before anything of it is stored. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from pvc.errors import ImageTooLarge, InvalidImage, InvalidInput
from pvc.images import qcow2
from pvc.images.formats import ACCEPTED, KNOWN, recognise
from pvc.units import KIB

HEAD_BYTES = 64 * KIB  # what `inspect` needs to see, unless the image is shorter


@dataclass(frozen=True, slots=True)
class Image:
    """virtual_size: bytes that a guest will see; None for raw of unknown length."""

    format: str
    virtual_size: int | None


def check_format(declared: str) -> None:
    """Raises InvalidInput for a name that is no format, InvalidImage for one that is not accepted yet."""
    if declared not in KNOWN:
        raise InvalidInput({"image_format": f"must be {_either(ACCEPTED)}"})
    if declared not in ACCEPTED:
        raise InvalidImage(problem=f'format "{declared}" is not part of this version of pvc, {_either(ACCEPTED)} is')


def inspect(head: bytes, declared: str, *, volume: str, capacity: int, length: int | None) -> Image:
    """Say what the upload is. Raises InvalidInput, InvalidImage, ImageTooLarge.

    head: its first HEAD_BYTES, or all of it when it is shorter. volume, capacity: where it shall go and how many bytes
    fit there. length: of the whole upload, where it is known.
    """
    check_format(declared)
    if not head:
        raise InvalidImage(problem="the upload is empty")
    found = recognise(head)
    if found not in (None if declared == "raw" else declared, declared):
        raise InvalidImage(problem=f'it was declared "{declared}", but {_looks(found)}')
    size = length if declared == "raw" else qcow2.virtual_size(head, length)
    if size is not None and size > capacity:
        raise ImageTooLarge(size=size, volume=volume, limit=capacity)
    return Image(declared, size)


def _looks(found: str | None) -> str:
    return "does not begin like one" if found is None else f"its first bytes are those of {found}"


def _either(names: tuple[str, ...]) -> str:
    return " or ".join(f'"{name}"' for name in names)
