"""The files that a cluster's configuration names: read once, refused in a sentence that quotes nothing of them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pvc import config
from pvc.config import ConfigProblems
from pvc.store.access import Access, read_access

SECRET = "opens-the-store"


def written(path: Path, content: bytes, mode: int = 0o600) -> config.Store:
    path.write_bytes(content)
    path.chmod(mode)
    return config.Store(kind="zookeeper", hosts=("zk:2181",), user="pvc", password_file=str(path))


def problems(cfg: config.Store) -> list[str]:
    with pytest.raises(ConfigProblems) as caught:
        read_access(cfg)
    assert SECRET not in str(caught.value)
    return caught.value.problems


@pytest.mark.parametrize("end", [b"", b"\n"])
def test_the_password_is_the_one_line_of_its_file(tmp_path: Path, end: bytes) -> None:
    access = read_access(written(tmp_path / "password", SECRET.encode() + end, 0o400))
    assert access == Access("pvc", SECRET)


def test_no_text_of_it_shows_the_password(tmp_path: Path) -> None:
    cfg = written(tmp_path / "password", SECRET.encode())
    assert SECRET not in repr(read_access(cfg)) + repr(cfg) + config.show(config.Config(store=cfg))


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o601, 0o644])
def test_a_password_that_others_reach_is_refused(tmp_path: Path, mode: int) -> None:
    file = tmp_path / "password"
    assert problems(written(file, SECRET.encode(), mode)) == [
        f'store.password_file "{file}" must be readable by its owner only (chmod 600).'
    ]


def test_a_password_of_somebody_else_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "password"
    cfg = written(file, SECRET.encode())
    os.chown(file, 4711, 4711)
    assert problems(cfg) == [f'store.password_file "{file}" must belong to root.']


@pytest.mark.parametrize("content", [b"", b"\n", b"opens-the-store\nand more\n"])
def test_a_file_without_one_line_is_refused(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "password"
    assert problems(written(file, content)) == [f'store.password_file "{file}" must hold the password in one line.']


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "password"
    assert problems(written(file, b"\xff")) == [f'store.password_file "{file}" must be UTF-8.']


def test_a_file_that_is_missing_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "password"
    cfg = written(file, b"x")
    file.unlink()
    assert problems(cfg) == [f'store.password_file "{file}" cannot be read: No such file or directory']


def test_a_ca_that_is_missing_or_is_none_is_refused(tmp_path: Path) -> None:
    ca = tmp_path / "ca.pem"
    cfg = config.Store(kind="zookeeper", hosts=("zk:2281",), unprotected=True, tls_ca=str(ca))
    assert problems(cfg) == [f'"{ca}" cannot be used for TLS to ZooKeeper: No such file or directory']
    ca.write_text("not a certificate")
    [said] = problems(cfg)
    assert said.startswith(f'"{ca}" cannot be used for TLS to ZooKeeper: ')
