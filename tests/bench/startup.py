"""`pvc --version` against `virsh --version`."""

from __future__ import annotations

from tests.bench.ground import Ground
from tests.bench.race import Contender, race, report

ROUNDS = 20


def measure(ground: Ground) -> None:
    contenders = [
        Contender("virsh --version", lambda: ground.run("virsh", "--version")),
        Contender("pvc --version", lambda: ground.run(ground.program, "--version")),
        Contender("virsh list", lambda: ground.run("virsh", "-c", ground.libvirtd.uri, "list")),
        Contender("pvc vm list", lambda: ground.run(ground.program, "vm", "list")),
    ]
    race(contenders, 2)
    for contender in contenders:
        contender.seconds.clear()
    race(contenders, ROUNDS)
    report(f"Start of the command line ({ground.program})", contenders)
