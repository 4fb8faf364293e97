"""Who QEMU runs as, of what libvirt says of its machine."""

from __future__ import annotations

import pytest

from pvc.hypervisor.machine import qemu_user

CAPABILITIES = """\
<capabilities><host>
  <secmodel><model>apparmor</model><doi>0</doi></secmodel>
  <secmodel><model>dac</model><doi>0</doi>
    <baselabel type='kvm'>{label}</baselabel><baselabel type='qemu'>{label}</baselabel>
  </secmodel>
</host></capabilities>"""


@pytest.mark.parametrize(("label", "user"), [("+64055:+107", (64055, 107)), ("+0:+0", (0, 0)), ("", None)])
def test_it_is_the_user_and_group_of_libvirts_own_label(label: str, user: tuple[int, int] | None) -> None:
    assert qemu_user(CAPABILITIES.format(label=label)) == user


def test_a_libvirt_that_changes_nobodys_owner_says_nothing() -> None:
    assert qemu_user("<capabilities><host/></capabilities>") is None
