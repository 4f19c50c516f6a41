"""Who calls: static keys of the configuration, known by their SHA-256, and keys of the database."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
from collections.abc import Iterable, Mapping
from time import perf_counter

from server.auth.directory import KeyDirectory, Told, unknown_key
from server.auth.tarpit import Tarpit
from server.call import Key, Project
from server.config import Limit, StaticKey
from server.errors import GatewayError, InvalidApiKey

Headers = Mapping[bytes, bytes]

ANONYMOUS = Key("static:anonymous", "anonymous", Project("default", "default"))


class KeyRing:
    """Finds the key of a request. With `open_to_all`, any request passes. `limits` are those of keys without any."""

    def __init__(
        self,
        keys: Iterable[StaticKey],
        limits: Limit,
        directory: KeyDirectory | None = None,
        *,
        open_to_all: bool = False,
    ) -> None:
        self._keys = {
            digest: (digest, _static(key, limits)) for key in keys for digest in (bytes.fromhex(key.key_sha256),)
        }
        self._directory = directory
        self._open = open_to_all
        self._tarpit = Tarpit()

    def authenticate(self, headers: Headers, told: Told) -> Key | None:
        """From `Authorization: Bearer` or `x-api-key`; None if `told` will hear. Raises `GatewayError`.

        Many wrong keys hear later (`Tarpit`).
        """
        if self._open:
            return ANONYMOUS
        try:
            return self._find(headers, told)
        except InvalidApiKey as error:
            wait_s = self._tarpit.delay(perf_counter())
            if not wait_s:
                raise
            asyncio.get_running_loop().call_later(wait_s, told, error)
            return None

    def _find(self, headers: Headers, told: Told) -> Key | None:
        """What an attacker can time is a look-up by SHA-256, whose prefix tells nothing about the key; the digests are
        then compared in constant time.
        """
        scheme, _, token = headers.get(b"authorization", b"").partition(b" ")
        token = token.strip() if scheme.lower() == b"bearer" else b""
        secret = token or headers.get(b"x-api-key", b"").strip()
        if not secret:
            raise InvalidApiKey(
                "You didn't provide an API key. Send it as 'Authorization: Bearer KEY' (SDKs: api_key=..., or "
                "OPENAI_API_KEY in the environment)."
            )
        digest = hashlib.sha256(secret).digest()
        known, key = self._keys.get(digest, (b"", ANONYMOUS))
        if hmac.compare_digest(known, digest):
            return key
        if self._directory is None:
            raise unknown_key()
        return self._directory.find(secret, digest, told)

    def static(self, key_id: str) -> Key | None:
        """The key with this id, if it is not one of the database."""
        if self._open and key_id == ANONYMOUS.id:
            return ANONYMOUS
        return next((key for _, key in self._keys.values() if key.id == key_id), None)

    async def identify(self, headers: Headers) -> Key:
        """The same for whoever can wait. Raises `GatewayError`."""
        later: asyncio.Future[Key | GatewayError] = asyncio.get_running_loop().create_future()

        def told(answer: Key | GatewayError) -> None:
            if not later.done():
                later.set_result(answer)

        key = self.authenticate(headers, told) or await later
        if isinstance(key, GatewayError):
            raise key
        return key


def _static(key: StaticKey, limits: Limit) -> Key:
    project = Project(key.project, key.project)
    return Key(f"static:{key.name}", key.name, project, key.limits or limits, key.priority)
