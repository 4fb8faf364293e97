"""A guest may end between two questions that libvirt is asked about it."""

from __future__ import annotations

from typing import Any, cast

import libvirt
import pytest

from pvc.hypervisor.libvirt import LibvirtHypervisor


class Refusal(libvirt.libvirtError):
    def __init__(self, code: int) -> None:
        super().__init__("virDomainGetMetadata() failed")
        self._code = code

    def get_error_code(self) -> int:
        return self._code


class Vanishing:
    """A guest of libvirt's list that has no metadata to give any more."""

    def __init__(self, code: int) -> None:
        self._code = code

    def UUIDString(self) -> str:  # noqa: N802
        return "52aa16c9-7cd6-4b56-a1a6-6b4f6e0a7d7f"

    def ID(self) -> int:  # noqa: N802
        return 7

    def name(self) -> str:
        return "web1"

    def metadata(self, *_: object) -> str:
        raise Refusal(self._code)


async def seen(code: int) -> object:
    return LibvirtHypervisor("test:///default", "qemu")._seen(cast(Any, Vanishing(code)), libvirt.VIR_DOMAIN_RUNNING)


@pytest.mark.parametrize("code", [libvirt.VIR_ERR_NO_DOMAIN, libvirt.VIR_ERR_OPERATION_INVALID])
async def test_a_guest_that_ended_since_the_list_was_made_is_not_on_it(code: int) -> None:
    assert await seen(code) is None


async def test_a_guest_without_metadata_is_on_the_list_as_one_of_unknown_run() -> None:
    assert getattr(await seen(libvirt.VIR_ERR_NO_DOMAIN_METADATA), "run", 0) is None


async def test_another_refusal_is_not_taken_for_an_end() -> None:
    with pytest.raises(libvirt.libvirtError):
        await seen(libvirt.VIR_ERR_AUTH_FAILED)
