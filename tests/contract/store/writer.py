"""A process that writes to an embedded store until it is killed: `python -m tests.contract.store.writer FILE`.

Prints "open", then each number when its transaction is acknowledged.
"""

from __future__ import annotations

import asyncio
import itertools
import sys

from pvc.store.base import Create, Put
from pvc.store.embedded import EmbeddedSource


async def write(path: str) -> None:
    store = await (await EmbeddedSource.open(path)).session()
    print("open", flush=True)
    await store.commit(Create("/counter", b"0"), Create("/left"), Create("/right"))
    await store.commit(Create("/alive", ephemeral=True))
    for number in itertools.count(1):
        value = str(number).encode()
        both = Create(f"/left/{number}", bytes(5000)), Create(f"/right/{number}", bytes(5000))
        await store.commit(both[0], Put("/counter", value, number - 1), both[1])
        print(number, flush=True)


if __name__ == "__main__":
    asyncio.run(write(sys.argv[1]))
