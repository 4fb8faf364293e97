"""An agent's life: one session of the store after another, the same guests all along."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from typing import Any

from pvc import __version__
from pvc.agent import flushing, peer, transport
from pvc.agent.peer import Answering
from pvc.agent.reconcile import FAREWELL_S, Reconciler
from pvc.agent.records import Records, followed
from pvc.agent.settings import Door, Settings
from pvc.cluster import nodes, peers
from pvc.cluster.opening import open_state
from pvc.cluster.state import Attentive, State
from pvc.errors import PVCError, StoreUnavailable
from pvc.hypervisor.base import Hypervisor
from pvc.model.records import Node
from pvc.storage.base import Pool
from pvc.store.base import Source

log = logging.getLogger("pvc.agent")

# Between two tries to open a session.
_RETRY_S = 2.0


async def run(
    source: Source,
    hypervisor: Hypervisor,
    pools: Mapping[str, Pool],
    settings: Settings,
    door: Door,
    ready: Callable[[], None],
) -> None:
    """Until cancelled. ready: called when the node is recorded and its guests are adopted."""
    async with peer.answering(door) as here:
        node = Node(
            name=settings.node,
            peer=here.address,
            fingerprint=here.fingerprint,
            pvc_version=__version__,
            machine=settings.machine,
        )
        reconciler = Reconciler(hypervisor, pools, settings)
        async with _beside("The look at the transport of migrations", transport.tell(hypervisor, settings)):
            while True:
                try:
                    await _one_session(source, reconciler, node, here, pools, settings, ready)
                except StoreUnavailable as exc:
                    log.warning("%s; VMs stay as they are", exc)
                await asyncio.sleep(_RETRY_S)


async def _one_session(
    source: Source,
    reconciler: Reconciler,
    node: Node,
    here: Answering,
    pools: Mapping[str, Pool],
    settings: Settings,
    ready: Callable[[], None],
) -> None:
    state = await open_state(source)
    try:
        if here.fingerprint:
            here.key = await peers.key_of(state.store)
        await nodes.join(state, node, settings.replaces)
        log.info('Node "%s" joined', node.name)
        async with followed(state, node.name, reconciler.wake) as records:
            attentive = Attentive(state.reader, state.paths, mirror=records.view)
            emptying = flushing.keep(attentive, records, pools, settings)
            async with _beside("Seeing to flushes of this node", emptying):
                await _until_told(state, records, reconciler, node.name, ready)
    finally:
        await state.store.aclose()


@asynccontextmanager
async def _beside(what: str, work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    task = asyncio.create_task(work, name=what)
    task.add_done_callback(_tell_failure)
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def _tell_failure(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (exc := task.exception()):
        log.error("%s has failed", task.get_name(), exc_info=exc)


async def _until_told(
    state: State, records: Records, reconciler: Reconciler, name: str, ready: Callable[[], None]
) -> None:
    """An agent that is told to end says that it ended in order: so it is told from one that died."""
    try:
        await reconciler.run(state, records, ready)
    except asyncio.CancelledError:
        try:
            async with asyncio.timeout(FAREWELL_S):
                await nodes.leave(state, name)
        except (PVCError, TimeoutError) as exc:
            log.warning("The cluster is not told that this agent ended: %s", exc or "its store does not answer")
        raise
