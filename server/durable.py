"""The durable store's part of the composition: where it is, by what its text is encrypted, what is removed from it."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

from server.config import Encryption, Stores
from server.duty import Duty
from server.retention.sweeper import DEFAULT_PACE, DUTY, Sweeper, removes
from server.stores.sealing import PLAIN, Sealing
from server.stores.sql.store import SqlStore, attach_durable


def durable_of(settings: Stores, home: Path) -> SqlStore:
    """Raises `StoreError`."""
    return attach_durable(settings.durable, home, sealing=sealing_of(settings.encryption))


def sealing_of(settings: Encryption) -> Sealing:
    if settings.key is None:
        return PLAIN
    # Only here: the library of ciphers takes memory that nobody wants to give who encrypts nothing.
    sealing: Sealing = import_module("server.stores.aes_gcm").AesGcm(settings.key, settings.old_keys)
    return sealing


def sweeping(settings: Stores, durable: SqlStore) -> tuple[Duty, ...]:
    """Nothing where all is kept for good."""
    if not removes(settings.retention):
        return ()
    return (Duty(durable, DUTY, Sweeper(durable, settings.retention).sweep, DEFAULT_PACE),)
