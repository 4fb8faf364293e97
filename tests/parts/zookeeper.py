"""A real ZooKeeper server from Debian's package, on a loopback port, in a folder of its own.

By hand: `python -m tests.parts.zookeeper` runs one until Ctrl-C.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Self

# zookeeper.jar of Debian names the jars that it needs, but one too few of Netty's.
_JARS = ("zookeeper", "slf4j-simple", "netty-codec")
_CLASSPATH = ":".join(["/etc/zookeeper/conf", *(f"/usr/share/java/{jar}.jar" for jar in _JARS)])
_READY_S = 60.0
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


class ZooKeeper:
    """All methods block. The data outlives `stop` and `kill`, the port stays the same; `close` removes all.

    tls: a folder with server.pem (key and certificate) and ca.pem; then `secure_port` speaks TLS to clients whose
    certificate the CA signed.
    """

    def __init__(self, tls: Path | None = None) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="pvc-zookeeper-"))
        self.port = _free_port()
        self._process: subprocess.Popen[bytes] | None = None
        (self.folder / "zoo.cfg").write_text(
            f"tickTime=500\nminSessionTimeout=1000\nmaxSessionTimeout=60000\nmaxClientCnxns=0\n"
            f"dataDir={self.folder}/data\nclientPort={self.port}\nclientPortAddress=127.0.0.1\n"
            f"admin.enableServer=false\n4lw.commands.whitelist=*\n"
        )
        if tls is not None:
            self.secure_port = _free_port()
            with (self.folder / "zoo.cfg").open("a") as settings:
                settings.write(_TLS.format(port=self.secure_port, tls=tls))

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def start(self) -> None:
        """Return when it serves."""
        options = ["-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]
        main = ["org.apache.zookeeper.server.quorum.QuorumPeerMain", str(self.folder / "zoo.cfg")]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(["java", "-cp", _CLASSPATH, *options, *main], stdout=log, stderr=log)
        end = time.monotonic() + _READY_S
        while not self._serves():
            if self._process.poll() is not None or time.monotonic() > end:
                raise RuntimeError(f"ZooKeeper did not start:\n{(self.folder / 'log').read_text()}")
            time.sleep(0.05)  # Java says nothing that one could wait for

    def administer(self, *commands: str) -> str:
        """What ZooKeeper's own shell says to these commands, which no argument list shows."""
        shell = ["java", "-cp", _CLASSPATH, "org.apache.zookeeper.ZooKeeperMain", "-server", self.address]
        lines = "".join(f"{command}\n" for command in (*commands, "quit"))
        return subprocess.run(shell, input=lines, capture_output=True, text=True, timeout=60, check=True).stdout

    def stop(self) -> None:
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        self._end(signal.SIGKILL)

    def freeze(self) -> None:
        """Return when no thread of it runs any more."""
        pid = self._running.pid
        os.kill(pid, signal.SIGSTOP)
        os.waitid(os.P_PID, pid, os.WSTOPPED)

    def thaw(self) -> None:
        os.kill(self._running.pid, signal.SIGCONT)

    def close(self) -> None:
        if self._process is not None:
            self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            raise RuntimeError("ZooKeeper is not running")
        return self._process

    def _end(self, number: signal.Signals) -> None:
        self._running.send_signal(number)
        self._running.wait()
        self._process = None

    def _serves(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=0.5) as connection:
                connection.sendall(b"srvr")
                return b"Mode: standalone" in connection.makefile("rb").read()
        except OSError:
            return False

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
