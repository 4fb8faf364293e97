"""What a test sees of guests and of pvc while something is broken."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from tests.lab.invariants import no_vm_runs_twice, running_on
from tests.lab.lab import Lab, Node
from tests.lab.mending import until_well
from tests.machine.shell import Said, Shell

T = TypeVar("T")

# Where "web" runs.
HOME = "hv2"

# "Something pvc stands on does not answer", see pvc/outcomes.py.
UNAVAILABLE = 5

# A VM without a disk: it is there at once, and needs nothing but its node.
SPARE = """<domain><name>spare</name><memory unit='MiB'>32</memory><vcpu>1</vcpu></domain>"""


def is_tick(line: str) -> bool:
    return line.startswith("tick ")


def goes_on(node: Node, uuid: str) -> None:
    """Return when the guest has said something new, which its node's disk tells without pvc."""
    words = ["timeout", "60", "tail", "--lines=0", "--follow", str(node.host.folder / "consoles" / f"{uuid}.log")]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as tail:
        assert any(map(is_tick, iter(tail.stdout.readline, "") if tail.stdout else ())), "The guest is silent."
        tail.terminate()


def until(seen: Callable[[], T], within_s: float = 60) -> T:
    """What `seen` gives as soon as that is true of anything; for what nobody tells of."""
    end = time.monotonic() + within_s
    while not (found := seen()):
        assert time.monotonic() < end, f"{seen} never came."
        time.sleep(0.05)
    return found


def refusal(said: Said) -> str:
    """The one sentence that says what is not available now; "" when it went well. Nothing else is right."""
    if said.code == 0:
        return ""
    assert said.code == UNAVAILABLE, said
    assert said.err.count("\n") == 1 and "not available" in said.err, said
    return said.err


def refused(shell: Shell, *words: str) -> str:
    """Return the sentence of the first refusal, which must come."""
    return until(lambda: refusal(shell.run(*words)))


def taken(shell: Shell, *words: str) -> None:
    """Ask until it goes well; until then it is refused in a clear sentence."""
    until(lambda: not refusal(shell.run(*words)))


def each_server_works(lab: Lab) -> None:
    """A VM starts and stops through each."""
    for server in lab.servers:
        server.shell.do("vm", "start", "spare")
        server.shell.do("vm", "stop", "spare")


def joined(node: Node) -> int:
    """How often this node's agent had a new session, as its log says."""
    return node.agent.log.read_text().count(f'Node "{node.name}" joined')


@contextmanager
def unharmed(lab: Lab, node: Node, uuid: str) -> Iterator[None]:
    """The QEMU of "web" is the same before and afterwards, and all works again by itself."""
    before = node.libvirtd.guests()["web"]
    yield
    until_well(lab)
    each_server_works(lab)
    no_vm_runs_twice(lab)
    assert running_on(node) == {uuid}
    assert node.libvirtd.guests()["web"] == before
    goes_on(node, uuid)
