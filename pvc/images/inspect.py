"""What an upload's first bytes say, decided before anything of it is stored. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from pvc.errors import ImageTooLarge, InvalidImage, InvalidInput
from pvc.images import qcow2header, qed, vdi, vhd, vmdkheader
from pvc.images.formats import ACCEPTED, EITHER, KNOWN, recognise
from pvc.images.unwrap import packing
from pvc.units import KIB

HEAD_BYTES = 64 * KIB  # what `inspect` needs to see, unless the image is shorter

_HEADERS = {"qed": qed.virtual_size, "vdi": vdi.virtual_size, "vpc": vhd.virtual_size}


@dataclass(frozen=True, slots=True)
class Image:
    """virtual_size: bytes that a guest will see; None where only the rest of the image tells.

    as_it_comes: we decode it ourselves; else it is kept for qemu-img.
    """

    format: str
    virtual_size: int | None
    as_it_comes: bool


def check_format(declared: str) -> None:
    """Raises InvalidInput for a name that is no format, InvalidImage for one that is not accepted."""
    if declared not in KNOWN:
        raise InvalidInput({"image_format": f"must be {EITHER}"})
    if declared not in ACCEPTED:
        raise InvalidImage(problem=f'format "{declared}" is not accepted, {EITHER} is')


def inspect(head: bytes, declared: str, *, volume: str, capacity: int, length: int | None) -> Image:
    """Say what the image is. Raises InvalidInput, InvalidImage, ImageTooLarge.

    head: its first HEAD_BYTES, or all of it when it is shorter. volume, capacity: where it shall go and how many bytes
    fit there. length: of the whole image, where it is known.
    """
    check_format(declared)
    if not head:
        raise InvalidImage(problem="the upload is empty")
    found = recognise(head) or packing(head)
    if found != declared and not (found is None and declared in ("raw", "vpc")):
        raise InvalidImage(problem=f'it was declared "{declared}", but {_looks(found)}')
    image = _image(head, declared, length)
    if image.virtual_size is not None and image.virtual_size > capacity:
        raise ImageTooLarge(size=image.virtual_size, volume=volume, limit=capacity)
    return image


def _image(head: bytes, declared: str, length: int | None) -> Image:
    match declared:
        case "raw":
            return Image(declared, length, as_it_comes=True)
        case "vhdx":
            return Image(declared, None, as_it_comes=False)
        case "vmdk":
            header = vmdkheader.read(head)
            if not header.in_order:
                vmdkheader.check_for_qemu(header)
            return Image(declared, header.capacity, header.in_order)
        case "qcow2":
            tables = qcow2header.read(head, length)
            return Image(declared, tables.size, tables.as_it_comes)
    size = _HEADERS[declared](head, length)
    return Image(declared, size, as_it_comes=declared == "vpc" and vhd.is_fixed(head))


def _looks(found: str | None) -> str:
    return "does not begin like one" if found is None else f"its first bytes are those of {found}"
