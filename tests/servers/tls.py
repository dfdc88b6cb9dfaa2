"""A certificate authority of our own: what it signs is trusted only by those who are told to."""

from __future__ import annotations

import ssl
from pathlib import Path

import trustme


class Authority:
    """Signs a certificate for localhost. `ca_bundle` is the file that makes a client trust it."""

    def __init__(self, folder: Path) -> None:
        authority = trustme.CA()
        self.ca_bundle = folder / "ca.pem"
        authority.cert_pem.write_to_path(str(self.ca_bundle))
        self._certificate = authority.issue_cert("localhost", "127.0.0.1")

    def server_context(self) -> ssl.SSLContext:
        """Return what `FaultServer(tls=...)` takes."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._certificate.configure_cert(context)
        return context
