"""Memory and Redis decide the same, to the last bit of every standing: random scripts are played on both."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from itertools import count

from hypothesis import given, settings

from server.stores.memory import MemoryLimits
from tests.contract.limit_stores import MIDNIGHT, Clock, Store, shared_limits
from tests.contract.scripts import SCRIPTS, Player, Step
from tests.services.redis import RedisServer


def test_both_stores_decide_the_same(redis_server: RedisServer) -> None:
    with asyncio.Runner() as runner:

        @settings(max_examples=120)
        @given(SCRIPTS)
        def agree(script: Sequence[Step]) -> None:
            start = MIDNIGHT - 100.25
            memory_clock, redis_clock = Clock(start), Clock(start)
            memory = Store(MemoryLimits(memory_clock), runner, memory_clock)
            redis = Store(shared_limits(redis_server.url, redis_clock), runner, redis_clock)
            ours, theirs = Player(memory), Player(redis)
            try:
                for step in script:
                    assert ours.step(step) == theirs.step(step), step
            finally:
                redis.close()

        agree()


def test_nothing_stays_for_ever(redis_server: RedisServer) -> None:
    with asyncio.Runner() as runner:
        clock = Clock()
        limits = shared_limits(redis_server.url, clock)
        store, example = Store(limits, runner, clock), count()

        @settings(max_examples=20)
        @given(SCRIPTS)
        def play(script: Sequence[Step]) -> None:
            Player(store, f"{next(example)}-").play(script)

        play()
        with redis_server.client() as client:
            keys = list(client.scan_iter(f"{limits.prefix}*"))
            assert keys
            assert [key for key in keys if client.ttl(key) < 0] == []
        store.close()
