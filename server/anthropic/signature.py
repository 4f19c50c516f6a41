"""Thinking that comes back is the model's own: its text is signed, for the project that it was made for.

What a client writes there itself would reach the model as its own reasoning, with more weight than a user's words.
"""

from __future__ import annotations

import hashlib
import hmac
from base64 import b64encode

LABEL = b"portico thinking"


class Signer:
    """`secret` is the server's, of any length."""

    def __init__(self, secret: bytes) -> None:
        self._key = hmac.digest(secret, LABEL, "sha256")

    def begin(self, project_id: str) -> Signature:
        return Signature(self._key, project_id)

    def holds(self, project_id: str, text: str, signature: str) -> bool:
        """Whether `signature` is what was given for this text."""
        made = self.begin(project_id)
        made.add(text)
        return hmac.compare_digest(made.text().encode(), signature.encode("utf-8", "surrogatepass"))


class Signature:
    """Of a text that comes in pieces."""

    def __init__(self, key: bytes, project_id: str) -> None:
        self._hmac = hmac.new(key, project_id.encode() + b"\0", hashlib.sha256)

    def add(self, piece: str) -> None:
        self._hmac.update(piece.encode("utf-8", "surrogatepass"))

    def text(self) -> str:
        return b64encode(self._hmac.digest()).decode()
