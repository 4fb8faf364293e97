"""What an agent says of how guests come to it."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from pvc.agent import transport
from pvc.agent.settings import Settings
from pvc.errors import Conflict
from pvc.hypervisor.fake import FakeHypervisor

TLS, TCP = "qemu+tls://10.0.0.1/system", "qemu+tcp://10.0.0.1/system"


def settings(uri: str, folder: Path) -> Settings:
    return Settings(node="hv1", console_path="/x", migration_uri=uri, migration_certificates=str(folder))


async def said(uri: str, folder: Path, caplog: pytest.LogCaptureFixture, *, there: bool = True) -> tuple[str, str]:
    hypervisor = FakeHypervisor()
    hypervisor.others = {uri: FakeHypervisor()} if there else {}
    with caplog.at_level("INFO", "pvc.agent"):
        await transport.tell(hypervisor, settings(uri, folder))
    [record] = caplog.records
    return record.levelname, record.getMessage()


async def test_encryption_that_works_is_said_to_be_in_force(
    certificates: Path, caplog: pytest.LogCaptureFixture
) -> None:
    level, text = await said(TLS, certificates, caplog)
    assert (level, "encrypted by libvirt's TLS and QEMU's" in text) == ("INFO", True)


async def test_what_goes_in_the_clear_is_warned_of(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    level, text = await said(TCP, tmp_path, caplog)
    assert (level, f'at "{TCP}", in the clear' in text) == ("WARNING", True)


async def test_without_an_address_no_guest_comes(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    level, text = await said("", tmp_path, caplog)
    assert (level, text) == ("INFO", 'Guests do not come here live: "hypervisor.migration_uri" is not set')


async def test_a_libvirt_that_is_not_reached_is_told_with_its_words(
    certificates: Path, caplog: pytest.LogCaptureFixture
) -> None:
    level, text = await said(TLS, certificates, caplog, there=False)
    assert (level, text.endswith(f"unable to connect to {TLS}")) == ("WARNING", True)


BROKEN: dict[str, Callable[[Path], object]] = {
    'ca-cert.pem" is not there': lambda folder: (folder / "ca-cert.pem").unlink(),
    'server-cert.pem" is not there': lambda folder: (folder / "server-cert.pem").unlink(),
    'client-key.pem" is not there': lambda folder: (folder / "client-key.pem").unlink(),
    "cannot be used": lambda folder: (folder / "server-key.pem").write_text("nonsense"),
}


@pytest.mark.parametrize("problem", BROKEN)
async def test_what_qemu_lacks_is_named(certificates: Path, problem: str, caplog: pytest.LogCaptureFixture) -> None:
    BROKEN[problem](certificates)
    with pytest.raises(Conflict, match=problem):
        await transport.check(settings("", certificates), None, TLS)
    await transport.check(settings("", certificates), None, TCP)
    level, text = await said(TLS, certificates, caplog)
    assert (level, problem in text) == ("WARNING", True)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can ask as somebody else")
async def test_a_key_that_qemus_own_user_cannot_read_is_named(certificates: Path) -> None:
    nobody = (65534, 65534)
    for folder in (certificates, *certificates.parents):
        if folder.stat().st_uid == 0 and folder.stat().st_mode & 0o055 != 0o055:
            folder.chmod(0o755)
    here, key = settings(TLS, certificates), certificates / "server-key.pem"
    for file in certificates.iterdir():
        file.chmod(0o644)
    assert await transport.standing(here, nobody) == transport.Standing(encrypted=True)
    key.chmod(0o640)
    with pytest.raises(Conflict, match=f'QEMU runs as "nobody" and cannot read "{key}"'):
        await transport.check_arrivals(here, nobody)
    os.chown(key, -1, nobody[1])
    await transport.check_arrivals(here, nobody)
    certificates.chmod(0o700)
    with pytest.raises(Conflict, match='QEMU runs as "nobody" and cannot read'):
        await transport.check_arrivals(here, nobody)
    certificates.chmod(0o755)
    await transport.check_arrivals(here, nobody)
    assert (await transport.standing(here, (0, 0))).encrypted
