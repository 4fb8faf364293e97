"""Everything the demo stands on, in one temporary folder: bridge, libvirt, `pvc serve`, image and XML."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests import guest
from tests.demo.show import Show, say
from tests.parts import bridge
from tests.parts.libvirtd import Libvirtd
from tests.parts.serve import Serve

MACHINE = "qemu:///system"

DOMAIN = """\
<domain>
  <name>demo</name>
  <memory unit='MiB'>128</memory>
  <vcpu>1</vcpu>
  <os><type arch='x86_64' machine='q35'>hvm</type></os>
  <features><acpi/></features>
  <devices>
    <disk type='volume' device='disk'>
      <source pool='local' volume='demo'/>
      <target dev='vda' bus='virtio'/>
    </disk>
  </devices>
</domain>
"""


class Stage:
    """Use `opened`. `keep` makes it outlive this process."""

    def __init__(self, stack: ExitStack, program: Path) -> None:
        self._stack, self._program = stack, program
        self.folder = _folder(stack)
        self.libvirtd = _libvirtd(stack)
        self.uri = self.libvirtd.uri if self.libvirtd else MACHINE
        self.bridge = _bridge(stack)
        self.serve = Serve(self.folder, self.uri, program=[str(program)])
        (self.folder / "demo.xml").write_text(DOMAIN)
        (self.folder / "guest.qcow2").symlink_to(guest.build().qcow2)
        self.show = Show(program, self.folder, {"PVC_URL": self.serve.url, "PVC_CONFIG": str(self.serve.config)})
        self.vm_uuid = ""
        stack.callback(self._pull_the_plug)
        stack.enter_context(self.serve)

    def keep(self) -> None:
        """Leave it all running, and say how to go on and how to end it."""
        self._stack.pop_all()
        end = self.folder / "end"
        end.write_text(self._end_script())
        end.chmod(0o755)
        name = shlex.quote(str(self._program))
        say(f"\nIt is left running. To go on, in {self.folder}:\n")
        say(f"  export PVC_URL={self.serve.url}\n  {name} vm list\n  {name} vm log demo -f\n")
        say(f"pvc serve logs to {self.serve.log}. To end it all and remove it:\n\n  {end}\n")

    def pool_files(self) -> list[str]:
        """What the pool's folder really holds, hidden files too."""
        return sorted(path.name for path in self.serve.pool.rglob("*") if path.is_file())

    def _pull_the_plug(self) -> None:
        """Of our guest on the machine's libvirt; a private one ends with its guests."""
        if self.libvirtd is None and self.vm_uuid:
            subprocess.run(["virsh", "-q", "-c", MACHINE, "destroy", self.vm_uuid], capture_output=True)

    def _end_script(self) -> str:
        """As the stack would end it, from another process."""
        lines = ["#!/bin/sh", _kill(self.serve.pid), f"ip link delete {self.bridge}"]
        if self.libvirtd:
            own = shlex.quote(str(self.libvirtd.folder))
            lines += [
                _kill(self.libvirtd.pid),
                f"cat {own}/run/qemu/*.pid 2>/dev/null | xargs -r kill -9",
                f"rm -r {own}",
            ]
        else:
            lines += [f"virsh -q -c {MACHINE} destroy {self.vm_uuid}"]
        return "\n".join([*lines, f"rm -r {shlex.quote(str(self.folder))}", ""])


def _kill(pid: int) -> str:
    """A shell line that ends a process and waits until it is gone."""
    return f"kill {pid} && tail --pid={pid} -f /dev/null"


@contextmanager
def opened(program: Path) -> Iterator[Stage]:
    with ExitStack() as stack:
        yield Stage(stack, program)


def _folder(stack: ExitStack) -> Path:
    folder = Path(tempfile.mkdtemp(prefix="pvc-demo-"))
    stack.callback(shutil.rmtree, folder)
    folder.chmod(0o755)  # QEMU may run as a user of its own
    return folder


def _bridge(stack: ExitStack) -> str:
    name = f"vmbr{os.getpid()}"
    bridge.add(name)
    stack.callback(bridge.remove, name)
    return name


def _libvirtd(stack: ExitStack) -> Libvirtd | None:
    """A private one; None when the machine has one that answers."""
    answer = subprocess.run(["virsh", "-q", "-c", MACHINE, "uri"], capture_output=True)
    if answer.returncode == 0:
        say(f"Using this machine's libvirt, {MACHINE}.")
        return None
    say("No libvirt answers on this machine: starting a private one.")
    return stack.enter_context(Libvirtd())
