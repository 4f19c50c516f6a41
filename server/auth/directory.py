"""Keys of the database: found from memory, read beside the requests' path, their use noted now and then."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from time import perf_counter, time

from server.auth.cache import KeyCache
from server.auth.secrets import parse_secret
from server.call import Key, Project
from server.config import Auth, Limit
from server.errors import GatewayError, InvalidApiKey, PermissionDenied, StoreUnavailable
from server.stores.base import Directory, StoreDown
from server.stores.records import KeyRecord, ProjectRecord

MOST_READING = 256  # keys that are being read at once; a call with a further unknown one is asked to come again
NOTE_USE_S = 60.0
LEAVE_ALONE_S = 1.0  # a database that cannot be reached
log = logging.getLogger("portico")

Told = Callable[[Key | GatewayError], None]
"""Hears later, from the event loop, whose key it is or why nobody's."""


class KeyDirectory:
    """`find` answers from memory, or reads and tells. `start` and `stop` are awaited by the app."""

    def __init__(self, directory: Directory, tag_key: bytes, settings: Auth, default_limits: Limit) -> None:
        self._directory = directory
        self._tag_key = tag_key
        self._default_limits = default_limits
        self._cache = KeyCache(settings.cache_size, settings.cache_s, settings.stale_s)
        self._reading: dict[bytes, list[Told]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._used: dict[str, int] = {}
        self._down_until = 0.0

    def find(self, secret: bytes, digest: bytes, told: Told) -> Key | None:
        """The key of a secret, if memory knows it; None if `told` will hear. Raises `GatewayError`.

        What was not made here (its tag is wrong) is refused without a look into the database.
        """
        now = perf_counter()
        freshness, key = self._cache.look(digest, now)
        if freshness == "fresh":
            return self._used_now(key)
        if freshness == "soon":
            if digest not in self._reading and now >= self._down_until:
                self._read(secret, digest)
            return self._used_now(key)
        if freshness == "absent":
            self._check_form(secret)
        if now < self._down_until:
            return self._used_now(self._stale(digest))
        waiting = self._reading.get(digest)
        if waiting is None:
            if len(self._reading) >= MOST_READING:
                raise StoreUnavailable("Too many keys are being looked up. Try again.", retry_after=1)
            waiting = self._read(secret, digest)
        waiting.append(told)
        return None

    def changed(self) -> None:
        """The directory has changed."""
        self._cache.changed()

    async def start(self) -> None:
        for work, name in ((self._watch(), "watch keys"), (self._note_use(), "note the use of keys")):
            self._own(asyncio.get_running_loop().create_task(work, name=name))

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._flush_use()

    # Reading

    def _check_form(self, secret: bytes) -> None:
        parsed = parse_secret(secret.decode("ascii", "replace"), self._tag_key)
        if parsed is None:
            raise unknown_key()
        if parsed[0] == "admin":
            raise PermissionDenied("This is an admin key. It opens /v1/organization; use a key of a project here.")

    def _read(self, secret: bytes, digest: bytes) -> list[Told]:
        waiting = self._reading[digest] = []
        self._own(asyncio.get_running_loop().create_task(self._answer(secret, digest), name="read a key"))
        return waiting

    async def _answer(self, secret: bytes, digest: bytes) -> None:
        answer: Key | GatewayError
        try:
            key = await self._look_up(secret, digest)
            answer = self._used_now(key)
        except GatewayError as error:
            answer = error
        except Exception as error:  # whoever waits must hear something
            log.exception("reading a key")
            answer = GatewayError(f"The server had an error ({type(error).__name__}).")
        for told in self._reading.pop(digest):
            told(answer)

    async def _look_up(self, secret: bytes, digest: bytes) -> Key | None:
        epoch = self._cache.epoch
        parsed = parse_secret(secret.decode("ascii", "replace"), self._tag_key)
        try:
            found = await self._directory.find_key(parsed[1]) if parsed is not None else None
        except StoreDown:
            self._down_until = perf_counter() + LEAVE_ALONE_S
            return self._stale(digest)
        key = None
        if found is not None and found[0].digest == digest.hex():
            key = key_of(*found, self._default_limits)
        self._cache.put(digest, key, perf_counter(), epoch)
        return key

    def _stale(self, digest: bytes) -> Key:
        """What goes on working without the database. Raises `StoreUnavailable`."""
        key = self._cache.stale(digest, perf_counter())
        if key is None:
            raise StoreUnavailable("Keys cannot be looked up at the moment. Try again shortly.", retry_after=2)
        return key

    def _used_now(self, key: Key | None) -> Key:
        """Raises `InvalidApiKey` for one that is unknown, revoked or expired."""
        if key is None:
            raise unknown_key()
        now = time()
        if key.expires_at is not None and now >= key.expires_at:
            raise InvalidApiKey("This API key has expired. Ask for a new one.")
        self._used[key.id] = int(now)
        return key

    # Background

    async def _watch(self) -> None:
        await self._directory.watch(self.changed)

    async def _note_use(self) -> None:
        while True:
            await asyncio.sleep(NOTE_USE_S)
            await self._flush_use()

    async def _flush_use(self) -> None:
        used, self._used = self._used, {}
        if not used:
            return
        try:
            await self._directory.touch_keys(used)
        except StoreDown:
            self._used = used | self._used

    def _own(self, task: asyncio.Task[None]) -> None:
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def key_of(record: KeyRecord, project: ProjectRecord, default_limits: Limit) -> Key | None:
    """What a request may do with this key; None if nothing."""
    if record.revoked_at is not None or project.archived_at is not None:
        return None
    grants = record.grants
    return Key(
        id=record.id,
        name=record.name,
        project=Project(project.id, project.name, project.weight, project.limits, project.model_limits, project.policy),
        limits=grants.limits or default_limits,
        priority=grants.priority,
        models=None if grants.models is None else frozenset(grants.models),
        endpoints=None if grants.endpoints is None else frozenset(grants.endpoints),
        reasoning=grants.reasoning,
        policy=grants.policy,
        expires_at=record.expires_at,
    )


def unknown_key() -> InvalidApiKey:
    return InvalidApiKey(
        "Incorrect API key provided. Check that it is a key of this server and that it was not revoked."
    )
