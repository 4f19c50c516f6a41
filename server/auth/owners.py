"""The keys of work that goes on without its client: found by their ids, and looked at again now and then."""

from __future__ import annotations

from collections.abc import Callable
from time import time

from server.auth.directory import key_of
from server.auth.keys import KeyRing
from server.call import Key
from server.config import Limit
from server.errors import InvalidApiKey, StoreUnavailable
from server.stores.base import Directory, NotThere, StoreDown


class KeyOwners:
    """`limits` are those of keys without any."""

    def __init__(self, ring: KeyRing, directory: Directory, limits: Limit, clock: Callable[[], float] = time) -> None:
        self._ring = ring
        self._directory = directory
        self._limits = limits
        self._clock = clock

    async def key(self, key_id: str) -> Key:
        """What it may do now. Raises `InvalidApiKey` (gone, revoked, expired), `StoreUnavailable`."""
        key = self._ring.static(key_id)
        if key is not None:
            return key
        try:
            record = await self._directory.key(None, key_id)
            key = key_of(record, await self._directory.project(record.project_id), self._limits)
        except NotThere:
            pass
        except StoreDown:
            raise StoreUnavailable("Keys cannot be looked up at the moment.", retry_after=2) from None
        if key is None or (key.expires_at is not None and self._clock() >= key.expires_at):
            raise InvalidApiKey("The API key that this belongs to was revoked, or has expired.")
        return key
