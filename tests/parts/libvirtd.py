"""A private libvirtd: its own mount namespace and folders, so that the machine's libvirt is neither needed nor touched.

    with Libvirtd() as daemon:
        connection = libvirt.open(daemon.uri)

Its guests see the machine's file system as it was mounted when the daemon started: mount a tmpfs for them before.
"""

from __future__ import annotations

import os
import select
import shutil
import signal
import tempfile
import uuid
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.parts.certificates import Authority
from tests.parts.daemon import Daemon
from tests.parts.place import HERE, Place, call

# Folders that libvirtd has built in, and their private stand-ins.
FOLDERS = {"etc": "/etc/libvirt", "run": "/run/libvirt", "lib": "/var/lib/libvirt", "log": "/var/log/libvirt"}

# QEMU, in the order of mounting: the real one under a name that nobody here uses, and what stands before it.
QEMU = Path("/usr/bin/qemu-system-x86_64")
EMULATOR = {QEMU: Path("/usr/bin/qemu-system-i386"), Path(__file__).with_name("emulator"): QEMU}

# What QEMU can do takes seconds to find out. libvirt itself checks whether what it kept still holds.
CACHE = Path(__file__).parents[2] / ".cache" / "libvirt"

QEMU_CONF = """\
user = "{user}"
group = "{user}"
security_driver = "none"
namespaces = []
cgroup_controllers = []
remember_owner = 0
stdio_handler = "file"
"""

LIBVIRTD_CONF = """\
auth_unix_rw = "none"
unix_sock_rw_perms = "0700"
host_uuid = "{uuid}"
log_level = 3
"""

TCP_CONF = """\
listen_tcp = 1
listen_addr = "{address}"
auth_tcp = "none"
"""

# Besides TCP. One certificate is shown by libvirtd and by QEMU, to who comes and to whom they go.
PKI = "/etc/libvirt/pki"
TLS_CONF = f"""\
listen_tls = 1
ca_file = "{PKI}/cacert.pem"
cert_file = "{PKI}/clientcert.pem"
key_file = "{PKI}/clientkey.pem"
"""
TLS_QEMU_CONF = f"""\
migrate_tls_x509_cert_dir = "{PKI}"
"""
_CERTIFICATES = ("clientcert.pem", "server-cert.pem", "client-cert.pem")
_KEYS = ("clientkey.pem", "server-key.pem", "client-key.pem")

MOUNT = """\
set -e
while IFS="	" read -r own place; do
    [ -e "$place" ] || mkdir -p "$place"
    mount --bind "$own" "$place"
done <"$0/mounts"
# A /dev/kvm that QEMU's user may open, as udev makes it. Without, libvirt asks QEMU anew at each question what it can.
if [ -c /dev/kvm ] && { [ -e "$0/kvm" ] || mknod "$0/kvm" c 10 232; }; then
    chmod 666 "$0/kvm"
    mount --bind "$0/kvm" /dev/kvm
fi
"""


class Libvirtd(Daemon):
    """folder: a new one with a short name is made by default. address: where it also answers anybody, over plain TCP.

    authority: signs a certificate for `address`, and it answers over TLS too, those who have one of the same.
    qemu_user: who QEMU runs as; Debian's own is "libvirt-qemu".
    """

    def __init__(
        self,
        folder: Path | None = None,
        *,
        place: Place = HERE,
        address: str = "",
        authority: Authority | None = None,
        qemu_user: str = "root",
    ) -> None:
        self.folder = folder or Path(tempfile.mkdtemp(prefix="pvc-"))  # short: sockets below it have 108 characters
        super().__init__("libvirtd", self.folder / "libvirtd.log", place)
        self._address, self._authority, self._qemu_user, self._mounted = address, authority, qemu_user, False
        self.folder.chmod(0o755)
        self._write_configuration()

    @property
    def socket(self) -> Path:
        return self.folder / "run" / "libvirt-sock"

    @property
    def uri(self) -> str:
        return f"qemu+unix:///system?socket={self.socket}"

    def _launch(self) -> None:
        """Guests of an earlier start are found again."""
        self._run_until_ready(self._command(), self.folder / "ready")

    def guests(self) -> dict[str, int]:
        """Pids of the running QEMU processes by domain name."""
        found = {path.stem: self._qemu(path) for path in (self.folder / "run" / "qemu").glob("*.pid")}
        return {name: pid for name, pid in found.items() if pid is not None}

    def _qemu(self, file: Path) -> int | None:
        """A pid file may vanish, or outlive its process, and the number may be another's by now."""
        with suppress(FileNotFoundError, ProcessLookupError):
            pid = self.place.pid(int(file.read_text()))
            if b"qemu-system" in Path(f"/proc/{pid}/cmdline").read_bytes():
                return pid
        return None

    def kill_guest(self, name: str) -> None:
        """As if QEMU had crashed. Return when it is gone."""
        end_now(self.guests()[name])

    def kill_guests(self) -> None:
        for pid in self.guests().values():
            end_now(pid)

    def close(self) -> None:
        """End the daemon, then its guests, and leave nothing behind. In order, libvirtd may take two minutes."""
        self.kill()
        self.kill_guests()
        shutil.rmtree(self.folder)

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException as exc:
            exc.add_note(self.log_tail())
            self.close()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def mount(self) -> None:
        """Put its folders where libvirt's are, for everybody in its place, which must be one with mounts of its own."""
        call(self.place, ["sh", "-c", MOUNT, str(self.folder)], self.log)
        self._mounted = True

    def _command(self) -> list[str]:
        """unshare, sh and libvirtd replace each other: the process keeps its pid."""
        daemon = ["/usr/sbin/libvirtd", "--pid-file", str(self.folder / "libvirtd.pid")]
        daemon += ["--listen"] if self._address else []
        if self._mounted:
            return daemon
        alone = ["unshare", "--mount", "--propagation", "slave"]
        return [*alone, "sh", "-c", f'{MOUNT}exec "$@"', str(self.folder), *daemon]

    def _write_configuration(self) -> None:
        for name in FOLDERS:
            (self.folder / name).mkdir()
        CACHE.mkdir(parents=True, exist_ok=True)
        places = (
            {self.folder / name: place for name, place in FOLDERS.items()} | {CACHE: "/var/cache/libvirt"} | EMULATOR
        )
        (self.folder / "mounts").write_text("".join(f"{own}\t{place}\n" for own, place in places.items()))
        qemu = QEMU_CONF.format(user=self._qemu_user)
        daemon = LIBVIRTD_CONF.format(uuid=uuid.uuid4())
        if self._address:
            daemon += TCP_CONF.format(address=self._address)
            daemon += TLS_CONF if self._authority else "listen_tls = 0\n"
        if self._authority:
            qemu += TLS_QEMU_CONF
            self._write_certificates(self._authority)
        (self.folder / "etc" / "qemu.conf").write_text(qemu)
        (self.folder / "etc" / "libvirtd.conf").write_text(daemon)

    @property
    def pki(self) -> Path:
        """What is at PKI for it and its guests."""
        return self.folder / "etc" / Path(PKI).name

    def _write_certificates(self, authority: Authority) -> None:
        self.pki.mkdir()
        for name in ("cacert.pem", "ca-cert.pem"):
            shutil.copy(authority.certificate, self.pki / name)
        made = authority.sign(self._address, f"IP:{self._address}")
        for name in _CERTIFICATES:
            shutil.copy(made, self.pki / name)
        for name in _KEYS:
            shutil.copy(made.with_suffix(".key"), self.pki / name)


def end_now(pid: int) -> None:
    """Return when the process is gone."""
    try:
        gone = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        signal.pidfd_send_signal(gone, signal.SIGKILL)
        select.select([gone], [], [])
    finally:
        os.close(gone)
