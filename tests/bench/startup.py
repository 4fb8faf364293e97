"""`pvc --version` and `pvc vm list` against `virsh --version` and `virsh list`: as the package installs pvc, too."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from tests.bench.ground import Ground
from tests.bench.race import Contender, race, report

ROUNDS = 20
# What the package has in /usr/lib/pvc.
INSTALLED = Path(__file__).parents[2] / "dist" / "folder" / "pvc"


def measure(ground: Ground) -> None:
    programs = {"pvc": ground.program}
    if INSTALLED.exists():
        programs["pvc as installed"] = INSTALLED
    typed = ("--version", "vm list", "--complete vm start w")
    contenders = [
        Contender("virsh --version", lambda: ground.run("virsh", "--version")),
        Contender("virsh list", lambda: ground.run("virsh", "-c", ground.libvirtd.uri, "list")),
        *(
            Contender(f"{name} {words}", partial(ground.run, program, *words.split()))
            for words in typed
            for name, program in programs.items()
        ),
    ]
    race(contenders, 2)
    for contender in contenders:
        contender.seconds.clear()
    race(contenders, ROUNDS)
    report(f"Start of the command line ({ground.program})", contenders)
