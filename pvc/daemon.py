"""One daemon process: `pvc serve`, with the agent inside when it stands alone, or `pvc agent`.

What every daemon does once: read its arguments and configuration, log, tell the service manager, end on a signal.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import logging
import os
import signal
import sys
from argparse import ArgumentParser
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from pvc import config
from pvc.config import Config, ConfigProblems
from pvc.errors import NotBuilt, NotPermitted, PVCError, Unavailable
from pvc.outcomes import EXIT
from pvc.supervision import Ready, notify, watched

log = logging.getLogger("pvc")

MODES = {"serve": "the HTTP API", "agent": "this hypervisor's agent"}


def main(mode: str, argv: list[str]) -> int:
    """mode: "serve" or "agent". Returns the exit code."""
    asked = parser(mode).parse_args(argv)
    try:
        settings = config.load(asked.config)
        if asked.show_config:
            print(config.show(settings))
            return 0
        return _run(mode, settings)
    except ConfigProblems as exc:
        print("\n".join(exc.problems), file=sys.stderr)
        return EXIT["invalid_input"]
    except PVCError as exc:
        print(exc, file=sys.stderr)
        return EXIT.get(exc.code, 1)


def parser(mode: str) -> ArgumentParser:
    """mode: of MODES."""
    parser = ArgumentParser(prog=f"pvc {mode}", description=f"Run {MODES[mode]} until it is told to stop.")
    parser.add_argument("--config", type=Path, metavar="FILE", help=f"default: {config.DEFAULT_PATH} where it exists")
    parser.add_argument("--show-config", action="store_true", help="print the configuration in force and end")
    return parser


def _run(mode: str, settings: Config) -> int:
    # The journal has its own clock.
    clock = "" if "JOURNAL_STREAM" in os.environ else "%(asctime)s "
    logging.basicConfig(level=settings.log_level.upper(), format=f"{clock}%(levelname)s %(name)s: %(message)s")
    logging.getLogger("kazoo").setLevel(logging.ERROR)  # each failed try to connect is a warning of its own
    if os.geteuid() != 0:
        raise NotPermitted(problem=f'"pvc {mode}" must run as root')
    _keep_freed_memory()
    work = _serve(settings) if mode == "serve" else _agent(settings)
    return asyncio.run(_until_signal(work))


def _keep_freed_memory() -> None:
    """Let glibc keep the buffers that an upload frees and takes again: without this each costs its page faults anew.

    Kept in one place, for all threads: else each of them keeps some of its own. M_MMAP_THRESHOLD is -3,
    M_TRIM_THRESHOLD is -1, M_ARENA_MAX is -8 in glibc's malloc.h; another libc has no such call.
    """
    with contextlib.suppress(AttributeError, OSError):
        libc = ctypes.CDLL(None)
        libc.mallopt(-3, 64 << 20)
        libc.mallopt(-1, 256 << 20)
        libc.mallopt(-8, 1)


async def _until_signal(work: Coroutine[Any, Any, None]) -> int:
    """Run `work` until it ends by itself or SIGTERM or SIGINT comes; guests are left as they are."""
    loop = asyncio.get_running_loop()
    task = loop.create_task(work)

    def end() -> None:
        notify("STOPPING=1")
        task.cancel()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, end)
    try:
        with watched():
            await task
    except asyncio.CancelledError:
        log.info("Ended by a signal; guests stay as they are")
    except (ExceptionGroup, OSError, ImportError) as exc:
        raise _in_words(exc) from exc
    return 0


def _in_words(exc: Exception) -> Exception:
    """What made the daemon fail, without the groups around it: a refusal in one sentence, or a bug as it is."""
    while isinstance(exc, ExceptionGroup):
        exc = exc.exceptions[0]
    if isinstance(exc, ImportError):
        return Unavailable(what="libvirt", reason=f"{exc} (on Debian: apt-get install libvirt0)")
    if isinstance(exc, OSError):
        return Unavailable(what="An address of the configuration", reason=str(exc))
    return exc


async def _serve(settings: Config) -> None:
    from pvc.server import main as server
    from pvc.storage.pools import open_administration, open_pools
    from pvc.store.source import open_source

    async with AsyncExitStack() as stack:
        source = await open_source(settings.store)
        stack.push_async_callback(source.aclose)
        pools = await open_pools(settings.pools, settings.ceph)
        stack.push_async_callback(pools.aclose)
        ceph = await open_administration(settings.ceph)
        if ceph is not None:
            stack.push_async_callback(ceph.aclose)
        for pool in pools.values():
            if not pool.capabilities.shared:  # the others are looked at as long as the server runs
                for name in await pool.remove_orphans():
                    log.info('Removed "%s", left in pool "%s" by an upload that was cut off', name, pool.name)
        ready = Ready(*(("serve", "agent") if settings.standalone else ("serve",)))
        async with asyncio.TaskGroup() as group:
            if settings.standalone:
                group.create_task(_agent_in(settings, source, pools, ready.part("agent")))
            group.create_task(server.run(source, pools, settings, ready.part("serve"), ceph))


async def _agent_in(settings: Config, source: Any, pools: Any, ready: Callable[[], None]) -> None:
    from pvc.agent import logfile
    from pvc.agent import main as agent
    from pvc.agent.machine import identity
    from pvc.agent.settings import door_from, settings_from
    from pvc.hypervisor.libvirt import LibvirtHypervisor

    hypervisor = LibvirtHypervisor(settings.hypervisor.uri, settings.hypervisor.domain_type)
    told = settings_from(settings, await asyncio.to_thread(identity))
    try:
        with logfile.kept(Path(settings.agent.log_path), settings.agent.log_bytes):
            await agent.run(source, hypervisor, pools, told, door_from(settings), ready)
    finally:
        await hypervisor.aclose()


async def _agent(settings: Config) -> None:
    if settings.standalone:
        raise NotBuilt(what='An agent beside the embedded store (where "pvc serve" has its own)')
    if not settings.agent.listen:
        log.warning("Consoles and the log of this node are read on this machine only: no agent.listen is set")
    from pvc.storage.pools import open_pools
    from pvc.store.source import open_source

    async with AsyncExitStack() as stack:
        source = await open_source(settings.store)
        stack.push_async_callback(source.aclose)
        pools = await open_pools(settings.pools, settings.ceph)
        stack.push_async_callback(pools.aclose)
        await _agent_in(settings, source, pools, Ready("agent").part("agent"))
