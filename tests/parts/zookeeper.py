"""A real ZooKeeper server from Debian's package, on a loopback port, in a folder of its own.

By hand: `python -m tests.parts.zookeeper` runs one until Ctrl-C.
"""

from __future__ import annotations

import contextlib
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.parts.daemon import Daemon
from tests.parts.place import HERE, Place

# zookeeper.jar of Debian names the jars that it needs, but one too few of Netty's.
_JARS = ("zookeeper", "slf4j-simple", "netty-codec")
_CLASSPATH = ":".join(["/etc/zookeeper/conf", *(f"/usr/share/java/{jar}.jar" for jar in _JARS)])
_OPTIONS = ("-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:-UsePerfData")
_MAIN = "org.apache.zookeeper.server.quorum.QuorumPeerMain"
_READY_S = 60.0

_CONFIG = """\
tickTime=500
minSessionTimeout=1000
maxSessionTimeout=60000
maxClientCnxns=0
dataDir={folder}/data
clientPort={port}
clientPortAddress={host}
admin.enableServer=false
4lw.commands.whitelist=*
"""
_TLS = """\
secureClientPort={port}
secureClientPortAddress=127.0.0.1
serverCnxnFactory=org.apache.zookeeper.server.NettyServerCnxnFactory
ssl.keyStore.location={tls}/server.pem
ssl.keyStore.type=PEM
ssl.trustStore.location={tls}/ca.pem
ssl.trustStore.type=PEM
ssl.hostnameVerification=false
"""


class ZooKeeper(Daemon):
    """All methods block. The data outlives `stop` and `kill`, the port stays the same; `close` removes all.

    folder: a new one by default. ensemble: hosts of all the servers that form one, `host` among them.
    tls: a folder with server.pem (key and certificate) and ca.pem; then `secure_port` speaks TLS to clients whose
    certificate the CA signed.
    """

    def __init__(
        self,
        folder: Path | None = None,
        *,
        place: Place = HERE,
        host: str = "127.0.0.1",
        port: int = 0,
        ensemble: Sequence[str] = (),
        tls: Path | None = None,
    ) -> None:
        self.folder = folder or Path(tempfile.mkdtemp(prefix="pvc-zookeeper-"))
        super().__init__("ZooKeeper", self.folder / "log", place)
        self.host, self.port = host, port or _free_port()
        (self.folder / "data").mkdir()
        config = _CONFIG.format(folder=self.folder, host=self.host, port=self.port)
        if ensemble:
            config += "initLimit=20\nsyncLimit=10\n"
            config += "".join(f"server.{number}={peer}:2888:3888\n" for number, peer in enumerate(ensemble, 1))
            (self.folder / "data" / "myid").write_text(str(ensemble.index(host) + 1))
        if tls is not None:
            self.secure_port = _free_port()
            config += _TLS.format(port=self.secure_port, tls=tls)
        (self.folder / "zoo.cfg").write_text(config)

    @property
    def address(self) -> str:
        return f"{self.host}:{self.port}"

    def _launch(self) -> None:
        """Return when it serves; in an ensemble that needs most of the others."""
        process = self._run(["java", "-cp", _CLASSPATH, *_OPTIONS, _MAIN, str(self.folder / "zoo.cfg")])
        end = time.monotonic() + _READY_S
        while not self.role():
            if not process.is_alive() or time.monotonic() > end:
                raise RuntimeError(f"ZooKeeper did not start:\n{self.log.read_text()}")
            time.sleep(0.05)  # Java says nothing that one could wait for

    def administer(self, *commands: str) -> str:
        """What ZooKeeper's own shell says to these commands, which no argument list shows."""
        shell = ["java", "-cp", _CLASSPATH, "org.apache.zookeeper.ZooKeeperMain", "-server", self.address]
        lines = "".join(f"{command}\n" for command in (*commands, "quit"))
        return subprocess.run(shell, input=lines, capture_output=True, text=True, timeout=60, check=True).stdout

    def close(self) -> None:
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def role(self) -> str:
        """leader, follower or standalone; "" while it does not serve."""
        try:
            with self.place.network(), socket.create_connection((self.host, self.port), timeout=0.5) as connection:
                connection.sendall(b"srvr")
                said = connection.makefile("r").read()
        except OSError:
            return ""
        return next((line.split()[1] for line in said.splitlines() if line.startswith("Mode: ")), "")

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, at: TracebackType | None) -> None:
        self.close()


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


if __name__ == "__main__":
    with ZooKeeper() as server:
        print(f"ZooKeeper answers at {server.address}, Ctrl-C ends it")
        with contextlib.suppress(KeyboardInterrupt):
            signal.pause()
