"""Streamed upload of a raw image against `cat` of the same bytes through a plain socket into a file beside the pool."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import threading
from pathlib import Path

from tests.bench.api import connect, send_file
from tests.bench.ground import Ground, random_image
from tests.bench.race import Contender, race, report


def measure(ground: Ground, size: int) -> None:
    image = random_image(ground.folder / "random.raw", size)
    volume = ground.new_volume("upload", size)
    typed = [ground.program, "storage", "volume", "upload", "local", "upload", image]
    contenders = [
        Contender("cat through a socket, synced", lambda: cat(ground.folder, image, sync=True)),
        Contender("cat through a socket", lambda: cat(ground.folder, image, sync=False)),
        Contender("pvc, request body (sendfile)", lambda: ground.api.upload(volume, image, "raw")),
        Contender("pvc, form field (sendfile)", lambda: ground.api.upload_form(volume, image, "raw")),
        Contender("pvc storage volume upload", lambda: ground.run(*typed)),
    ]
    if shutil.which("curl"):
        contenders.append(Contender("pvc, curl -T", lambda: curl(ground, volume, image)))
    race(contenders, ground.rounds)
    report(f"Upload of {size >> 20} MiB of random bytes, durable when answered", contenders, size)
    ground.remove_volume(volume)
    image.unlink()


def cat(folder: Path, image: Path, *, sync: bool) -> None:
    """The receiving end is `cat <socket >file`."""
    path, target = folder / "cat.sock", folder / "cat.raw"
    with socket.socket(socket.AF_UNIX) as listener, target.open("wb") as file:
        listener.bind(str(path))
        listener.listen()
        sender = threading.Thread(target=_send, args=(path, image))
        sender.start()
        connection, _ = listener.accept()
        with connection:
            subprocess.run(["cat"], stdin=connection.fileno(), stdout=file, check=True)
        sender.join()
        if sync:
            os.fsync(file.fileno())
    path.unlink()


def _send(path: Path, image: Path) -> None:
    with connect(path) as connection:
        send_file(connection, image)


def curl(ground: Ground, volume: str, image: Path) -> None:
    url = f"http://localhost/api/v1/storage/ceph/volume/{volume}/upload?image_format=raw"
    words = ["curl", "--silent", "--show-error", "--fail", "--unix-socket", ground.api.path, "-X", "POST", "-T", image]
    ground.run(*words, url)
