"""Serving: the unix socket, and the network where the configuration says so."""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from pathlib import Path

from aiohttp import web

from pvc.cluster import leftovers, recovery
from pvc.cluster.expiry import Expiry
from pvc.cluster.state import State
from pvc.config import API, Config, ConfigProblems
from pvc.localsocket import private_listener
from pvc.server.app import build_app
from pvc.server.auth import TokenBook
from pvc.server.session import Session
from pvc.storage.administration import Administration
from pvc.storage.base import Pool
from pvc.store.base import Source

log = logging.getLogger("pvc.server")


async def run(
    source: Source,
    pools: Mapping[str, Pool],
    config: Config,
    ready: Callable[[], None],
    ceph: Administration | None = None,
) -> None:
    """Until cancelled. ready: called when requests are answered and the store has been reached."""
    session, book = Session(source), TokenBook()
    expiry = Expiry(config.tasks.kept_s)
    first = asyncio.Event()
    begun: set[asyncio.Task[None]] = set()

    def opened(state: State) -> None:
        first.set()
        clearing = (
            leftovers.keep_clear(state, pools, config.agent.node_name),
            recovery.clear(state),
            expiry.follow(state),
        )
        for work in (*clearing, book.follow(state.store)):
            task = asyncio.create_task(work)
            begun.add(task)
            task.add_done_callback(begun.discard)

    async with AsyncExitStack() as stack:
        runner = web.AppRunner(build_app(session, book, pools, config, ceph), access_log=None, shutdown_timeout=5.0)
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        await _listen(runner, config.api)
        async with asyncio.TaskGroup() as group:
            group.create_task(session.keep(opened))
            await first.wait()
            ready()


async def _listen(runner: web.AppRunner, api: API) -> None:
    """Raises OSError, which names the address, ConfigProblems."""
    await web.SockSite(runner, await asyncio.to_thread(private_listener, Path(api.socket))).start()
    if api.listen:
        host, _, port = api.listen.rpartition(":")
        if not api.tls_certificate:
            log.warning('Tokens and everything else cross "%s" unencrypted: no api.tls_certificate is set', api.listen)
        await web.TCPSite(runner, host.strip("[]"), int(port), ssl_context=_tls(api)).start()


def _tls(api: API) -> ssl.SSLContext | None:
    if not api.tls_certificate:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(api.tls_certificate, api.tls_key)
    except OSError as exc:  # an SSLError is one
        files = f'"{api.tls_certificate}" or "{api.tls_key}"'
        raise ConfigProblems([f"{files} cannot be used for api.listen: {exc.strerror or exc}"]) from exc
    return context
