"""Who may use the administration API: holders of admin keys."""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import Callable, Mapping
from time import perf_counter

from server.auth.secrets import digest_of, parse_secret
from server.auth.tarpit import Tarpit
from server.errors import InvalidApiKey, PermissionDenied
from server.stores.base import Directory
from server.stores.records import Actor, AdminKeyRecord

NOTE_USE_S = 60  # its last use is noted no more often
HOW = "`portico admin-keys create NAME` on the server makes one"


class AdminGuard:
    """Looks into the database for every call, as these are rare: a deleted key stops at once.

    A flood of forged keys does not reach it, as their tag is wrong.
    """

    def __init__(self, directory: Directory, tag_key: bytes, clock: Callable[[], float]) -> None:
        self._directory = directory
        self._tag_key = tag_key
        self._clock = clock
        self._tarpit = Tarpit()

    async def admit(self, headers: Mapping[bytes, bytes]) -> Actor:
        """From `Authorization: Bearer`. Raises `InvalidApiKey`, `PermissionDenied`, `StoreDown`."""
        try:
            return await self._admit(headers)
        except InvalidApiKey:
            await asyncio.sleep(self._tarpit.delay(perf_counter()))
            raise

    async def _admit(self, headers: Mapping[bytes, bytes]) -> Actor:
        scheme, _, token = headers.get(b"authorization", b"").partition(b" ")
        secret = token.strip().decode("latin-1") if scheme.lower() == b"bearer" else ""
        if not secret:
            raise InvalidApiKey(f"Send an admin key as 'Authorization: Bearer KEY'; {HOW}.")
        record = await self._find(secret)
        now = self._clock()
        if record is None:
            raise InvalidApiKey(f"This is no admin key of this server, or it was deleted; {HOW}.")
        if record.expires_at is not None and now >= record.expires_at:
            raise InvalidApiKey(f"This admin key has expired; {HOW}.")
        if record.last_used_at is None or now - record.last_used_at >= NOTE_USE_S:
            await self._directory.touch_keys({record.id: int(now)})
        return Actor("admin_key", record.id, record.name)

    async def _find(self, secret: str) -> AdminKeyRecord | None:
        parsed = parse_secret(secret, self._tag_key)
        if parsed is None:
            return None
        kind, lookup = parsed
        if kind != "admin":
            raise PermissionDenied(f"This is the key of a project; the administration asks for an admin key; {HOW}.")
        record = await self._directory.find_admin_key(lookup)
        known = record.digest if record is not None else ""
        return record if hmac.compare_digest(known, digest_of(secret)) else None
