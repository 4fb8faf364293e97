"""`make bench`: pvc beside what it is compared with, on this machine, in one run."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from pathlib import Path

from tests.bench import ceph, conversion, footprint, hotplug, lists, migration, ovas, recovery, startup, uploads
from tests.bench.ground import Ground, ground

MIB = 1 << 20


def main() -> None:
    options = _options()
    if os.geteuid() != 0:
        sys.exit("The benchmark needs root: it starts guests.")
    measurements: dict[str, Callable[[Ground], None]] = {
        "startup": startup.measure,
        "lists": lambda on: lists.measure(on, options.vms),
        "recovery": lambda on: recovery.measure(on, options.vms),
        "hotplug": hotplug.measure,
        "uploads": lambda on: uploads.measure(on, options.size * MIB),
        "conversion": lambda on: conversion.measure(on, options.size * MIB),
        "ovas": lambda on: ovas.measure(on, options.size * MIB),
        "ceph": lambda on: ceph.measure(on, options.size * MIB, options.volumes),
        "migration": lambda on: migration.measure(on, options.guest_memory, options.guests),
        "footprint": lambda on: footprint.measure(on, options.footprint_size * MIB),
    }
    print(f"{os.cpu_count()} CPUs, load {os.getloadavg()[0]:.1f}. A ratio compares with the first line of its table.")
    with ground(options.pvc.absolute(), options.rounds) as on:
        for name in options.only or measurements:
            measurements[name](on)


def _options() -> argparse.Namespace:
    def number(name: str, default: int) -> int:
        return int(os.environ.get(name, default))

    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("only", nargs="*", metavar="NAME", help="which; default: all")
    parser.add_argument("--pvc", type=Path, default=Path(sys.executable).with_name("pvc"))
    parser.add_argument("--size", type=int, default=number("BENCH_MIB", 2048), help="MiB of the images")
    parser.add_argument("--footprint-size", type=int, default=number("BENCH_FOOTPRINT_MIB", 4096), help="MiB")
    parser.add_argument("--volumes", type=int, default=number("BENCH_VOLUMES", 2000), help="in the list of Ceph's")
    parser.add_argument("--guests", type=int, default=number("BENCH_GUESTS", 12), help="that leave a node")
    parser.add_argument("--guest-memory", type=int, default=number("BENCH_GUEST_MIB", 256), help="MiB of each")
    parser.add_argument("--vms", type=int, default=number("BENCH_VMS", 10_000), help="of the list")
    parser.add_argument("--rounds", type=int, default=number("BENCH_ROUNDS", 3))
    return parser.parse_args()


main()
