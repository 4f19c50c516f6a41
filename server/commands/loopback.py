"""How commands reach the service on this machine."""

from __future__ import annotations

import ssl

_EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104


def own_host(host: str) -> str:
    """Where what listens on `host` can be connected to from here."""
    return _EVERYWHERE.get(host, host)


def unverified() -> ssl.SSLContext:
    """For asking ourselves: the certificate is for another name."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
