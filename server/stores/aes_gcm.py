"""Sealing by AES-256-GCM. Loaded only where a key is configured: the library behind it takes 7 MB."""

from __future__ import annotations

import base64
import hashlib
import os
from collections.abc import Sequence

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from server.stores.base import StoreError
from server.stores.sealing import KEY_ID_BYTES, MARK, UnknownKey

NONCE_BYTES = 12
"""Random, so a key is good for some 2^32 texts (NIST SP 800-38D, 8.3)."""
_NONCE_AT = len(MARK) + KEY_ID_BYTES
_TEXT_AT = _NONCE_AT + NONCE_BYTES


class AesGcm:
    """See `Sealing`. Seals by `key`; opens what that or one of `old_keys` has sealed. Each is 32 bytes in Base64."""

    def __init__(self, key: str, old_keys: Sequence[str] = ()) -> None:
        secrets = [base64.b64decode(one) for one in (key, *old_keys)]
        self._ciphers = {_id_of(secret): AESGCM(secret) for secret in secrets}
        self._head = MARK + _id_of(secrets[0])
        self._cipher = self._ciphers[_id_of(secrets[0])]

    def seal(self, text: bytes, place: str) -> bytes:
        nonce = os.urandom(NONCE_BYTES)
        return self._head + nonce + self._cipher.encrypt(nonce, text, place.encode())

    def unseal(self, stored: bytes, place: str) -> bytes:
        if not stored.startswith(MARK):
            return stored
        key_id = stored[len(MARK) : _NONCE_AT]
        if key_id not in self._ciphers:
            raise UnknownKey(key_id)
        try:
            return self._ciphers[key_id].decrypt(stored[_NONCE_AT:_TEXT_AT], stored[_TEXT_AT:], place.encode())
        except (InvalidTag, ValueError):  # the latter for a nonce that was cut
            raise StoreError("the database holds an encrypted text that was changed, or moved from its place") from None


def _id_of(secret: bytes) -> bytes:
    """What tells keys apart and nothing about them."""
    return hashlib.sha256(b"portico key id\0" + secret).digest()[:KEY_ID_BYTES]
