"""Verdicts that were given already. Pure: `now` is passed in, in seconds of any steady clock.

Texts are not kept. A verdict is found by an HMAC-SHA256, under a secret of the server, of policy, model and text: who
reads the memory, or a list of keys, cannot try out whether a text was judged.
"""

from __future__ import annotations

import hashlib
import hmac
from collections import OrderedDict

from server.moderation.judges.verdicts import Verdict

LEAST_SECRET = 16  # bytes


class VerdictCache:
    """The `most` that were used last, each for `lifetime_s` from when it was given."""

    def __init__(self, secret: bytes, most: int = 4096, lifetime_s: float = 600.0) -> None:
        if len(secret) < LEAST_SECRET:
            raise ValueError(f"a secret of at least {LEAST_SECRET} bytes is needed")
        self._secret = secret
        self._most = most
        self._lifetime_s = lifetime_s
        self._verdicts: OrderedDict[bytes, tuple[Verdict, float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._verdicts)

    def key(self, policy_hash: str, model: str, text: str) -> bytes:
        """Another one for any difference: the lengths go in, so that nothing moves from one part to the next."""
        parts = [one.encode("utf-8", "surrogatepass") for one in (policy_hash, model, text)]
        framed = b"".join(len(part).to_bytes(8, "big") + part for part in parts)
        return hmac.digest(self._secret, framed, hashlib.sha256)

    def get(self, key: bytes, now: float) -> Verdict | None:
        entry = self._verdicts.get(key)
        if entry is None:
            return None
        verdict, until = entry
        if now >= until:
            del self._verdicts[key]
            return None
        self._verdicts.move_to_end(key)
        return verdict

    def put(self, key: bytes, verdict: Verdict, now: float) -> None:
        self._verdicts[key] = (verdict, now + self._lifetime_s)
        self._verdicts.move_to_end(key)
        while len(self._verdicts) > self._most:
            self._verdicts.popitem(last=False)
