"""The durable store's part of the composition: where it is, by what its text is encrypted, what is removed from it."""

from __future__ import annotations

from pathlib import Path

from server.config import Encryption, Stores
from server.duty import Duty
from server.retention.sweeper import DEFAULT_PACE, DUTY, Sweeper, removes
from server.stores.aes_gcm import AesGcm
from server.stores.sealing import PLAIN, Sealing
from server.stores.sql.store import SqlStore, attach_durable


def durable_of(settings: Stores, home: Path) -> SqlStore:
    """Raises `StoreError`."""
    return attach_durable(settings.durable, home, sealing=sealing_of(settings.encryption))


def sealing_of(settings: Encryption) -> Sealing:
    return PLAIN if settings.key is None else AesGcm(settings.key, settings.old_keys)


def sweeping(settings: Stores, durable: SqlStore) -> tuple[Duty, ...]:
    """Nothing where all is kept for good."""
    if not removes(settings.retention):
        return ()
    return (Duty(durable, DUTY, Sweeper(durable, settings.retention).sweep, DEFAULT_PACE),)
