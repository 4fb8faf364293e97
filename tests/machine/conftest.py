"""What the scenarios of this folder are played on: one machine that stands alone, and a node of the cluster."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.machine.shell import Shell
from tests.parts.daemon import Daemon, at_once
from tests.parts.libvirtd import Libvirtd
from tests.parts.serve import PVC, Serve

if TYPE_CHECKING:
    from tests.lab.lab import Lab


@dataclass(frozen=True, slots=True)
class Machine:
    """node: where the shell makes VMs, whose libvirt and whose agent these are.

    agent: the same as `serve` where that has its agent inside. content: of a volume, by its name.
    leftovers: what uploads left in the pool.
    """

    node: str
    libvirtd: Libvirtd
    serve: PVC
    agent: PVC
    shell: Shell
    content: Callable[[str], bytes]
    leftovers: Callable[[], list[str]]

    def stop(self) -> None:
        at_once(Daemon.stop, {self.serve, self.agent})

    def kill(self) -> None:
        at_once(Daemon.kill, {self.serve, self.agent})

    def start(self) -> None:
        at_once(Daemon.start, {self.serve, self.agent})


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """Short, for sockets lie in it; open to QEMU's user."""
    made = Path(tempfile.mkdtemp(prefix="pvc-"))
    made.chmod(0o755)
    yield made
    shutil.rmtree(made)


@pytest.fixture(scope="module")
def alone(libvirtd: Libvirtd, folder: Path) -> Iterator[Machine]:
    quick = "interval_s = 2.0\nshutdown_timeout_s = 60.0\n"  # [agent] is the last table of the configuration
    with Serve(folder, libvirtd.uri, extra=quick) as serve:
        yield Machine(
            node=os.uname().nodename.partition(".")[0],
            libvirtd=libvirtd,
            serve=serve,
            agent=serve,
            shell=Shell(serve.url),
            content=lambda volume: (serve.pool / f"{volume}.raw").read_bytes(),
            leftovers=lambda: [path.name for path in (serve.pool / ".incoming").iterdir()],
        )
        libvirtd.kill_guests()


@pytest.fixture(scope="module")
def clustered(lab: Lab) -> Iterator[Machine]:
    """The second node, asked through the second server."""
    import rbd

    from pvc.storage.rbdhidden import HIDDEN
    from tests.lab.guests import until
    from tests.lab.mending import mend
    from tests.parts.ceph import POOL

    server, node = lab.servers[1], lab.nodes["hv2"]
    with lab.ceph.admin() as cluster, closing(cluster.open_ioctx(POOL)) as pool:

        def content(volume: str) -> bytes:
            with rbd.Image(pool, volume, read_only=True) as image:
                return image.read(0, image.size())

        def hidden() -> list[str]:
            return [one["name"] for one in rbd.RBD().list2(pool) if one["name"].startswith(HIDDEN)]

        def leftovers() -> list[str]:
            """Content that was replaced may go a moment later."""
            until(lambda: not any(name.startswith(f"{HIDDEN}old.") for name in hidden()))
            return hidden()

        yield Machine(
            node=node.name,
            libvirtd=node.libvirtd,
            serve=server.serve,
            agent=node.agent,
            shell=Shell(server.url, POOL, node.name),
            content=content,
            leftovers=leftovers,
        )
    mend(lab)


@pytest.fixture(scope="module", params=["alone", pytest.param("clustered", marks=pytest.mark.lab)])
def machine(request: pytest.FixtureRequest) -> Machine:
    found: Machine = request.getfixturevalue(request.param)
    return found
