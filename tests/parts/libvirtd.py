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
import subprocess
import tempfile
import uuid
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.parts.readiness import Readiness

# Folders that libvirtd has built in, and their private stand-ins.
FOLDERS = {"etc": "/etc/libvirt", "run": "/run/libvirt", "lib": "/var/lib/libvirt", "log": "/var/log/libvirt"}

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

START = """\
set -e
while IFS="	" read -r own place; do mkdir -p "$place"; mount --bind "$own" "$place"; done <"$1/mounts"
[ -z "$2" ] || hostname "$2"
# A /dev/kvm that QEMU's user may open, as udev makes it. Without, libvirt asks QEMU anew at each question what it can.
if [ -c /dev/kvm ] && { [ -e "$1/kvm" ] || mknod "$1/kvm" c 10 232; }; then
    chmod 666 "$1/kvm"
    mount --bind "$1/kvm" /dev/kvm
fi
exec /usr/sbin/libvirtd --pid-file "$1/libvirtd.pid"
"""


class Libvirtd:
    """hostname: what the node is called inside, the machine's own by default. netns: name of an existing one.

    qemu_user: who QEMU runs as; Debian's own is "libvirt-qemu".
    """

    def __init__(self, *, hostname: str = "", netns: str = "", qemu_user: str = "root") -> None:
        self.hostname, self._netns, self._qemu_user = hostname, netns, qemu_user
        self.folder = Path(tempfile.mkdtemp(prefix="pvc-"))  # short: sockets below it have 108 characters
        self.folder.chmod(0o755)
        self._process: subprocess.Popen[bytes] | None = None
        self._write_configuration()

    @property
    def socket(self) -> Path:
        return self.folder / "run" / "libvirt-sock"

    @property
    def uri(self) -> str:
        return f"qemu+unix:///system?socket={self.socket}"

    @property
    def pid(self) -> int:
        if self._process is None:
            raise RuntimeError("This libvirtd is not running.")
        return self._process.pid

    def start(self) -> None:
        """Return when it answers. Guests of an earlier start are found again."""
        if self._process is not None:
            raise RuntimeError("This libvirtd runs already.")
        with Readiness(self.folder / "ready") as readiness, self.log.open("ab") as log:
            process = subprocess.Popen(
                self._command(),
                env=os.environ | readiness.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C is for whoever uses it
            )
            self._process = process
            readiness.wait(process)

    def stop(self) -> None:
        """End the daemon in order; its guests live on."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End the daemon as a crash would; its guests live on."""
        self._end(signal.SIGKILL)

    def restart(self) -> None:
        self.stop()
        self.start()

    @property
    def log(self) -> Path:
        return self.folder / "libvirtd.log"

    def guests(self) -> dict[str, int]:
        """Pids of the running QEMU processes by domain name."""
        files = (self.folder / "run" / "qemu").glob("*.pid")
        pids = {path.stem: int(path.read_text()) for path in files}
        return {name: pid for name, pid in pids.items() if _is_qemu(pid)}

    def kill_guest(self, name: str) -> None:
        """As if QEMU had crashed."""
        os.kill(self.guests()[name], signal.SIGKILL)

    def close(self) -> None:
        """End the daemon, then its guests, and leave nothing behind. In order, libvirtd may take two minutes."""
        self.kill()
        for pid in self.guests().values():
            _kill(pid)
        shutil.rmtree(self.folder)

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException as exc:
            if self.log.exists():
                exc.add_note(self.log.read_text(errors="replace")[-4000:])
            self.close()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def _end(self, number: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(number)
            self._process.wait()
            self._process = None

    def _command(self) -> list[str]:
        """unshare, sh and libvirtd replace each other: the process keeps its pid."""
        where = ["ip", "netns", "exec", self._netns] if self._netns else []
        inside = ["unshare", "--mount", "--uts", "--propagation", "slave"]
        return [*where, *inside, "sh", "-c", START, "libvirtd", str(self.folder), self.hostname]

    def _write_configuration(self) -> None:
        for name in FOLDERS:
            (self.folder / name).mkdir()
        CACHE.mkdir(parents=True, exist_ok=True)
        places = {self.folder / name: place for name, place in FOLDERS.items()} | {CACHE: "/var/cache/libvirt"}
        (self.folder / "mounts").write_text("".join(f"{own}\t{place}\n" for own, place in places.items()))
        (self.folder / "etc" / "qemu.conf").write_text(QEMU_CONF.format(user=self._qemu_user))
        (self.folder / "etc" / "libvirtd.conf").write_text(
            f'auth_unix_rw = "none"\nunix_sock_rw_perms = "0700"\nhost_uuid = "{uuid.uuid4()}"\nlog_level = 3\n'
        )


def _is_qemu(pid: int) -> bool:
    """A pid file may outlive its process, and the number may be another's by now."""
    try:
        return b"qemu-system" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except FileNotFoundError:
        return False


def _kill(pid: int) -> None:
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
