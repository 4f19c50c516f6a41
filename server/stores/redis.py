"""Counters of limits in Valkey or Redis, shared by workers and replicas: a script per decision, on the server's clock.

All keys have one hash tag, so that a step may touch the limits of a key, its project and a model together; in a cluster
they live on one node. They all expire. A server that evicts keys under memory pressure forgets counts: give it
`maxmemory-policy noeviction`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from hashlib import sha1
from pathlib import Path
from typing import Any

from server.stores.base import Outcome, Quotas, Refused, Standings, Unseeded
from server.stores.redis_pipe import COMMAND_S, NoScript, RedisPipe

SCRIPT = (Path(__file__).parent / "limits.lua").read_text(encoding="utf-8")
SHA = sha1(SCRIPT.encode(), usedforsecurity=False).hexdigest()
PREFIX = "{portico}:limits:"
RENEWED_AT_ONCE = 500  # holds per step, so that none keeps the server for long


class RedisLimits:
    """A `LimitStore`. `url` is redis://, or rediss:// for TLS. `clock` in place of the server's is for tests.

    Raises `ValueError` (url).
    """

    degraded = False

    def __init__(
        self, url: str, *, prefix: str = PREFIX, clock: Callable[[], float] | None = None, command_s: float = COMMAND_S
    ) -> None:
        self._pipe = RedisPipe(url, command_s)
        self.prefix = prefix
        self._clock = clock

    async def take(self, hold_id: str, quotas: Quotas, amounts: Sequence[int]) -> Outcome:
        return _outcome(await self._run("take", hold_id, quotas, amounts))

    async def settle(self, hold_id: str, quotas: Quotas, used: Sequence[int]) -> None:
        await self._run("settle", hold_id, quotas, used)

    async def renew(self, hold_ids: Sequence[str]) -> None:
        for start in range(0, len(hold_ids), RENEWED_AT_ONCE):
            await self._evaluate("renew", (), hold_ids[start : start + RENEWED_AT_ONCE])

    async def seed(self, quotas: Quotas, used: Sequence[int], at: float) -> None:
        await self._run("seed", repr(at), quotas, used)

    async def probe(self) -> None:
        """Whether it takes something: one that is full, or a replica, answers a ping too. Raises `StoreDown`."""
        await self._pipe.ask("SET", f"{self.prefix}probe", 1, "EX", 60)

    async def close(self) -> None:
        await self._pipe.close()

    # Inside

    async def _run(self, verb: str, first: str, quotas: Quotas, amounts: Sequence[int]) -> list[Any]:
        keys = [f"{self.prefix}{quota.kind}:{quota.scope}" for quota in quotas]
        arguments: list[str | int] = [first]
        for quota, amount in zip(quotas, amounts, strict=True):
            arguments += (quota.kind, quota.limit, amount)
        return await self._evaluate(verb, keys, arguments)

    async def _evaluate(self, verb: str, keys: Sequence[str], arguments: Sequence[str | int]) -> list[Any]:
        now = "" if self._clock is None else repr(self._clock())
        everything = (2 + len(keys), f"{self.prefix}holds", f"{self.prefix}leases", *keys, verb, now, *arguments)
        try:
            return await self._pipe.ask("EVALSHA", SHA, *everything)
        except NoScript:  # a server that was started anew
            return await self._pipe.ask("EVAL", SCRIPT, *everything)


def _outcome(answer: list[Any]) -> Outcome:
    if answer[0] == b"taken":
        return Standings(tuple(answer[1::2]), tuple(map(float, answer[2::2])))
    if answer[0] == b"unseeded":
        return Unseeded(tuple(answer[2:]), float(answer[1]))
    _, index, remaining, wait = answer
    return Refused(index, remaining, float(wait) if wait else None)
