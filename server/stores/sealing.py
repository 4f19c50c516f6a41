"""Text that is kept may be sealed: encrypted, and bound to its place. What is plain costs nothing.

A sealed text is `MARK`, the id of its key (4 bytes), a nonce (12 bytes) and what AES-256-GCM makes of it. No JSON
begins with `MARK`: plain texts and texts of several keys can stand beside each other, and each says which.
"""

from __future__ import annotations

from typing import Protocol

from server.stores.base import StoreDown

MARK = b"\x01"
KEY_ID_BYTES = 4


class UnknownKey(StoreDown):
    """A text was sealed by a key that is not in the configuration."""

    def __init__(self, key_id: bytes) -> None:
        super().__init__(
            f"stored text is encrypted by a key (id {key_id.hex()}) that is not in stores.encryption: give it as `key` "
            "or among `old_keys`"
        )


class Sealing(Protocol):
    """`place` says what a text is and whose: sealed for another place, it cannot be opened."""

    def seal(self, text: bytes, place: str) -> bytes: ...

    def unseal(self, stored: bytes, place: str) -> bytes:
        """Plain text passes as it is. Raises `UnknownKey`, and `StoreError` for what was changed or moved."""
        ...


class Plain:
    """Nothing is sealed."""

    def seal(self, text: bytes, place: str) -> bytes:
        return text

    def unseal(self, stored: bytes, place: str) -> bytes:
        if stored.startswith(MARK):
            raise UnknownKey(stored[1 : 1 + KEY_ID_BYTES])
        return stored


PLAIN = Plain()
