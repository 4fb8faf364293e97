"""Which domain type this machine's guests get: decided from what libvirt offers and what the CPU can."""

from __future__ import annotations

import re


def choose_domain_type(wanted: str, offered: set[str], cpuinfo: str) -> tuple[str, str]:
    """Return the type, "kvm" or "qemu", and why, one sentence.

    libvirt offers kvm as soon as /dev/kvm opens, which says nothing of whether a guest comes up under it: the CPU's
    own flag (vmx or svm) must be there too.
    """
    if wanted != "auto":
        return wanted, f'The configuration asks for "{wanted}".'
    if "kvm" not in offered:
        return "qemu", "libvirt does not offer kvm here, so guests run in software emulation."
    if not re.search(r"^flags\s*:.*\b(?:vmx|svm)\b", cpuinfo, re.MULTILINE):
        return "qemu", "The CPU shows neither vmx nor svm, so guests run in software emulation."
    return "kvm", "The CPU can virtualise and libvirt offers kvm."


def caveat(domain_type: str, qemu_version: int) -> str:
    """What is to be known of such guests on this QEMU (9.1.2 is 9001002), a sentence or nothing.

    QEMU's commit "physmem: Fix migration dirty bitmap coherency with TCG memory access" came with 9.0.
    """
    if domain_type != "qemu" or qemu_version >= 9_000_000:
        return ""
    return "In software emulation QEMU before 9.0 may damage a guest's memory when it migrates live."
