"""Certificates for a test, made by openssl: a CA, and what it signed."""

from __future__ import annotations

import subprocess
from pathlib import Path


class Authority:
    """Its certificate is ca.pem in `folder`, which must exist. All methods block."""

    def __init__(self, folder: Path, name: str = "A CA of the tests") -> None:
        self.folder = folder
        self.certificate = folder / "ca.pem"
        self._key = folder / "ca.key"
        _openssl(
            "req", "-x509", *_NEW, "-subj", f"/CN={name}", "-keyout", str(self._key), "-out", str(self.certificate)
        )

    def sign(self, name: str, alternative: str) -> Path:
        """NAME.pem with key and certificate. alternative: as "IP:127.0.0.1" or "DNS:localhost"."""
        made, key, request = self.folder / f"{name}.pem", self.folder / f"{name}.key", self.folder / f"{name}.csr"
        _openssl("req", *_NEW, "-subj", f"/CN={name}", "-keyout", str(key), "-out", str(request))
        names = self.folder / f"{name}.names"
        names.write_text(f"subjectAltName={alternative}\n")
        signer = ["-CA", str(self.certificate), "-CAkey", str(self._key), "-CAcreateserial", "-days", "2"]
        _openssl("x509", "-req", "-in", str(request), *signer, "-extfile", str(names), "-out", str(made))
        made.write_text(key.read_text() + made.read_text())
        return made


_NEW = ("-newkey", "rsa:2048", "-nodes", "-sha256")


def _openssl(*arguments: str) -> None:
    subprocess.run(["openssl", *arguments], check=True, capture_output=True)
