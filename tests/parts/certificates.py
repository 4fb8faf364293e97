"""Certificates for a test, made by openssl: a CA, and what it signed."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path

RSA = ("-newkey", "rsa:2048")
EC = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1")  # much faster to make
_PLAIN = ("-nodes", "-sha256")


class Authority:
    """Its certificate is ca.pem in `folder`, which must exist. All methods block. new: the kind of its keys."""

    def __init__(self, folder: Path, name: str = "A CA of the tests", new: Sequence[str] = RSA) -> None:
        self.folder, self._new = folder, new
        self.certificate = folder / "ca.pem"
        self._key = folder / "ca.key"
        _openssl(
            "req",
            "-x509",
            *new,
            *_PLAIN,
            "-subj",
            f"/CN={name}",
            "-keyout",
            str(self._key),
            "-out",
            str(self.certificate),
        )

    def sign(self, name: str, alternative: str) -> Path:
        """NAME.pem with key and certificate. alternative: as "IP:127.0.0.1" or "DNS:localhost"."""
        made, key, request = (self.folder / f"{name}.{kind}" for kind in ("pem", "key", "csr"))
        _openssl("req", *self._new, *_PLAIN, "-subj", f"/CN={name}", "-keyout", str(key), "-out", str(request))
        names = self.folder / f"{name}.names"
        names.write_text(f"subjectAltName={alternative}\n")
        signer = ["-CA", str(self.certificate), "-CAkey", str(self._key), "-CAcreateserial", "-days", "2"]
        _openssl("x509", "-req", "-in", str(request), *signer, "-extfile", str(names), "-out", str(made))
        made.write_text(key.read_text() + made.read_text())
        return made


def _openssl(*arguments: str) -> None:
    subprocess.run(["openssl", *arguments], check=True, capture_output=True)
