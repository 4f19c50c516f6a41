"""What the shell needs to know of a model: how it is asked, and what its answer means."""

from __future__ import annotations

import hashlib
from typing import Protocol

import msgspec

from server.moderation.judges.verdicts import Verdict
from server.moderation.judges.windows import Windows


class Adapter(Protocol):
    """One per family of models. Pure: no clock, no chance, no IO."""

    @property
    def model(self) -> str:
        """Its name at the engine."""
        ...

    @property
    def path(self) -> str:
        """Of the POST, relative to the engine's base URL, or to its host if `at_root`."""
        ...

    @property
    def at_root(self) -> bool: ...

    @property
    def windows(self) -> Windows:
        """How long texts are cut."""
        ...

    @property
    def policy_hash(self) -> str:
        """Of everything beside model and text that a verdict depends on."""
        ...

    def question(self, text: str, nonce: str) -> bytes:
        """The JSON body of the request. `nonce`: of this call alone, and nobody can guess it (hexadecimal digits)."""
        ...

    def verdict(self, answer: bytes, text: str) -> Verdict:
        """From the body of a 200. Raises `MalformedAnswer`."""
        ...


def digest(*settings: object) -> str:
    """SHA-256 of settings that JSON can hold, in hexadecimal."""
    return hashlib.sha256(msgspec.json.encode(settings)).hexdigest()
