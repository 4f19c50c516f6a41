"""What the parent process knows of the service as a whole, for the metrics."""

from __future__ import annotations

import logging
from pathlib import Path

from prometheus_client import CollectorRegistry

from server.telemetry import families
from server.telemetry.certificate import first_expiry

log = logging.getLogger("portico")


def service_registry(version: str, certificate: Path | None) -> CollectorRegistry:
    """`certificate` is what the public port shows from now on, in PEM."""
    registry = CollectorRegistry()
    families.BUILD_INFO.on(registry).labels(version).set(1)
    if certificate is not None:
        try:
            expiry = first_expiry(certificate.read_text(encoding="utf-8"))
            families.CERTIFICATE_EXPIRY.on(registry).set(expiry)
        except (OSError, ValueError) as error:  # whether it serves is for TLS to say
            log.warning("when %s expires cannot be read: %s", certificate, error)
    return registry
