"""Salts of the engine's prefix cache, one per project.

vLLM keeps computed prompts and answers sooner where a new one begins alike: by the time to the first token a client
could tell what others have asked. With a salt a prompt finds only what was computed under the same one.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from functools import lru_cache

SALT_BYTES = 18  # 144 bits: nobody guesses one; 24 letters in base64
REMEMBERED = 4096


class CacheSalts:
    """`of(project_id)`: HMAC-SHA256 of the id under `secret`, truncated, in URL-safe base64."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret
        self.of = lru_cache(REMEMBERED)(self._make)

    def _make(self, project_id: str) -> str:
        digest = hmac.new(self._secret, b"cache salt\0" + project_id.encode(), hashlib.sha256).digest()
        return base64.urlsafe_b64encode(digest[:SALT_BYTES]).decode()
