"""What must hold after every fault, asked of every hypervisor and never of pvc."""

from __future__ import annotations

import re
import subprocess
from collections import defaultdict
from pathlib import Path

from tests.lab.lab import Lab, Node


def no_vm_runs_twice(lab: Lab) -> None:
    twice = {uuid: nodes for uuid, nodes in running(lab).items() if len(nodes) > 1}
    assert not twice, f"These VMs run on more than one node: {twice}."


def running(lab: Lab) -> dict[str, list[str]]:
    """The nodes of each VM that runs, by its UUID, as libvirt and the processes there say."""
    found = defaultdict(list)
    for node in lab.nodes.values():
        for uuid in running_on(node):
            found[uuid].append(node.name)
    return dict(found)


def running_on(node: Node) -> set[str]:
    """A libvirtd that does not run, or is frozen, says nothing; what its guests' processes say holds then too."""
    return _of_libvirt(node) | {_uuid(pid) for pid in node.libvirtd.guests().values()}


def _of_libvirt(node: Node) -> set[str]:
    if not node.libvirtd.answers:
        return set()
    words = ["virsh", "--connect", node.libvirtd.uri, "list", "--uuid"]
    done = subprocess.run(words, check=True, capture_output=True, text=True, timeout=60)
    return set(done.stdout.split())


def _uuid(pid: int) -> str:
    line = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    found = re.search(r" -uuid (\S+)", line)
    assert found is not None, line
    return found[1]
