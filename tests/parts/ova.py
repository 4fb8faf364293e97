"""OVAs made by hand: what an honest program writes, and what it does not."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

from pvc.units import MIB

BLOCK = 512
END = bytes(2 * BLOCK)
VMDK = "http://www.vmware.com/interfaces/specifications/vmdk.html#streamOptimized"
QCOW2 = "http://www.gnome.org/~markmc/qcow-image-format.html"
RAW = "raw"


def header(name: str | bytes, size: int | bytes, kind: str = "0", *, prefix: bytes = b"", magic: bytes = b"") -> bytes:
    """size: bytes are put there as they are."""
    told = name if isinstance(name, bytes) else name.encode()
    number = size if isinstance(size, bytes) else b"%011o\0" % size
    block = told.ljust(100, b"\0") + b"0000644\0" + b"0000000\0" * 2 + number.ljust(12, b"\0") + b"00000000000\0"
    block += b" " * 8 + kind.encode("latin-1") + bytes(100) + (magic or b"ustar\00000") + bytes(80) + prefix
    block = block.ljust(BLOCK, b"\0")
    return block[:148] + b"%06o\0 " % sum(block) + block[156:]


def padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % BLOCK)


def member(name: str | bytes, data: bytes = b"", kind: str = "0", *, prefix: bytes = b"") -> bytes:
    return header(name, len(data), kind, prefix=prefix) + padded(data)


def pax(*records: tuple[str, str], kind: str = "x") -> bytes:
    return member("PaxHeaders/x", b"".join(pax_record(key, value) for key, value in records), kind)


def pax_record(key: str, value: str) -> bytes:
    rest = f" {key}={value}\n".encode()
    length = len(rest) + 1
    while len(str(length)) + len(rest) != length:
        length = len(str(length)) + len(rest)
    return str(length).encode() + rest


def archive(*members: bytes) -> bytes:
    return b"".join(members) + END


def item(kind: int, quantity: str = "", more: str = "", number: int = 0) -> str:
    told = f"<rasd:VirtualQuantity>{quantity}</rasd:VirtualQuantity>" if quantity else ""
    instance = f"<rasd:InstanceID>{number}</rasd:InstanceID>" if number else ""
    return f"<Item>{more}{instance}<rasd:ResourceType>{kind}</rasd:ResourceType>{told}</Item>"


CPU = item(3, "2", number=1)
MEMORY = item(4, "256", "<rasd:AllocationUnits>byte * 2^20</rasd:AllocationUnits>", number=2)


def disk_item(disk: str, number: int, more: str = "") -> str:
    return item(17, more=f"<rasd:HostResource>ovf:/disk/{disk}</rasd:HostResource>{more}", number=number)


def nic_item(network: str, number: int) -> str:
    more = f"<rasd:Connection>{network}</rasd:Connection><rasd:ResourceSubType>E1000</rasd:ResourceSubType>"
    return item(10, more=more, number=number)


def file_reference(name: str, number: int, more: str = "") -> str:
    return f'<File ovf:id="file{number}" ovf:href="{name}" {more}/>'


def disk_entry(number: int, capacity: str, uri: str, more: str = "") -> str:
    file = f'ovf:fileRef="file{number}"' if uri else ""
    return f'<Disk ovf:diskId="disk{number}" {file} ovf:capacity="{capacity}" ovf:format="{uri}" {more}/>'


def descriptor(
    files: Iterable[str] = (),
    disks: Iterable[str] = (),
    items: Iterable[str] = (),
    *,
    before: str = "",
    more: str = "",
    basics: Sequence[str] = (CPU, MEMORY),
) -> bytes:
    """The XML of an OVF 1.1 envelope with one machine. before: stands at its very beginning; more: in its hardware."""
    return f"""<?xml version="1.0" encoding="UTF-8"?>{before}
<Envelope xmlns="http://schemas.dmtf.org/ovf/envelope/1" xmlns:ovf="http://schemas.dmtf.org/ovf/envelope/1"
  xmlns:rasd="http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_ResourceAllocationSettingData"
  xmlns:vmw="http://www.vmware.com/schema/ovf">
 <References>{"".join(files)}</References>
 <DiskSection><Info>Disks</Info>{"".join(disks)}</DiskSection>
 <VirtualSystem ovf:id="appliance"><Name>An appliance</Name>
  <VirtualHardwareSection><Info>Hardware</Info>{"".join(basics)}{"".join(items)}{more}</VirtualHardwareSection>
 </VirtualSystem>
</Envelope>""".encode()


def described(*files: tuple[str, str], capacity: int = 4 * MIB, networks: Sequence[str] = ()) -> bytes:
    """A descriptor of a machine whose disks are `files`, each a name and the URI of its format."""
    numbered = list(enumerate(files, 1))
    return descriptor(
        [file_reference(name, number) for number, (name, _) in numbered],
        [disk_entry(number, str(capacity), uri) for number, (_, uri) in numbered],
        [
            *(disk_item(f"disk{number}", 10 + number) for number, _ in numbered),
            *(nic_item(name, 50 + place) for place, name in enumerate(networks)),
        ],
    )


def manifest(algorithm: str = "sha256", /, **files: bytes) -> bytes:
    """Names have "__" for a dot, which no keyword can have."""
    lines = [
        f"{algorithm.upper()}({name.replace('__', '.')})= {hashlib.new(algorithm, data).hexdigest()}\n"
        for name, data in files.items()
    ]
    return "".join(lines).encode()
