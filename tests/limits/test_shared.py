"""Limits whose shared store is a real Redis that is killed, started again and flushed; and shares of limits."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import cast

import pytest

from server.limits import shared
from server.limits.shared import FailoverLimits, SharedStore, ShareOf, now_or_later
from server.stores.base import LimitStore, Refused, StoreDown, Unseeded
from server.stores.memory import MemoryLimits
from server.stores.redis import RedisLimits
from tests.contract.limit_stores import (
    NOON,
    Charge,
    Clock,
    Granted,
    Standing,
    asked,
    charge,
    quotas,
    standing,
    take,
    tokens,
    told,
)
from tests.services.redis import RedisServer, running_server

BACK_S = 30


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    """One that may be killed."""
    yield from running_server(tmp_path)


@pytest.fixture(autouse=True)
def quick_probes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared, "PROBE_S", 0.02)


class Changes:
    """What `on_change` was told."""

    def __init__(self) -> None:
        self.told: list[bool] = []
        self.back = asyncio.Event()

    def __call__(self, degraded: bool) -> None:
        self.told.append(degraded)
        if not degraded:
            self.back.set()


class Limits:
    """The store that is tested, with short names."""

    def __init__(self, store: FailoverLimits, changes: Changes, local: ShareOf | None = None) -> None:
        self.store = store
        self.local = local
        self.changes = changes

    async def take(self, hold_id: str, *charges: Charge) -> Granted | Refused | Unseeded:
        return await take(self.store, hold_id, charges)

    async def settle(self, hold_id: str, one: Charge, used: int) -> Standing:
        await now_or_later(self.store.settle(hold_id, quotas([one]), [used]))
        return await standing(self.store, one)

    async def back(self) -> None:
        async with asyncio.timeout(BACK_S):
            await self.changes.back.wait()


@asynccontextmanager
async def limits(server: RedisServer, shares: int | None = 4) -> AsyncIterator[Limits]:
    changes = Changes()
    local = None if shares is None else ShareOf(MemoryLimits(), shares)
    store = FailoverLimits(RedisLimits(server.url), local, changes)
    yield Limits(store, changes, local)
    await store.close()


def test_a_share_decides_while_redis_is_down(server: RedisServer, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        async with limits(server) as tested:
            assert isinstance(await tested.take("a", tokens(100, 40)), Granted)
            server.stop()
            assert isinstance(await tested.take("b", tokens(100, 20)), Granted)
            assert tested.store.degraded
            outcome = await tested.take("c", tokens(100, 6))
            assert isinstance(outcome, Refused)
            assert (outcome.index, outcome.remaining) == (0, 5)
            server.start()
            await tested.back()
            assert not tested.store.degraded
            assert isinstance(await tested.take("d", tokens(100, 90)), Granted), "an empty Redis counts from nothing"
            await tested.settle("b", tokens(100, 20), 3)
            assert tested.local is not None
            assert (await standing(tested.local, tokens(100, 0))).remaining == 22, "settled where it was taken"
            assert (await tested.settle("d", tokens(100, 90), 50)).remaining == 50
            assert tested.changes.told == [True, False]

    with caplog.at_level(logging.WARNING, "portico"):
        asyncio.run(main())
    down, back = [record.getMessage() for record in caplog.records]
    assert down.startswith("limits: the shared store is down, each worker enforces its share until it is back: ")
    assert f"127.0.0.1:{server.port}" in down
    assert back == "limits: the shared store is back"


def test_closed_refuses_while_redis_is_down(server: RedisServer) -> None:
    async def main() -> None:
        async with limits(server, shares=None) as tested:
            await tested.take("a", tokens(100, 40))
            server.stop()
            for _ in range(2):
                with pytest.raises(StoreDown):
                    await tested.take("b", tokens(100, 20))
            assert tested.store.degraded
            server.start()
            await tested.back()
            assert isinstance(await tested.take("b", tokens(100, 20)), Granted)

    asyncio.run(main())


class Gate:
    """A shared store that can be cut off, and keeps what it counts."""

    def __init__(self) -> None:
        self.inner = MemoryLimits(Clock())
        self.cut = False
        self.asked = 0

    async def close(self) -> None:
        pass

    def __getattr__(self, name: str) -> Callable[..., object]:
        async def ask(*arguments: object) -> object:
            self.asked += 1
            if self.cut:
                raise StoreDown("cut off")
            return None if name == "probe" else getattr(self.inner, name)(*arguments)

        return ask


@asynccontextmanager
async def gated() -> AsyncIterator[tuple[Gate, Limits]]:
    gate, changes = Gate(), Changes()
    store = FailoverLimits(cast(SharedStore, gate), ShareOf(MemoryLimits(Clock()), 4), changes)
    yield gate, Limits(store, changes)
    await store.close()


def test_what_the_shared_store_holds_is_settled_when_it_is_back() -> None:
    async def main() -> None:
        async with gated() as (gate, tested):
            await tested.take("a", tokens(100, 90))
            gate.cut = True
            await tested.settle("a", tokens(100, 90), 10)
            gate.cut = False
            await tested.back()
            assert (await tested.settle("none", tokens(100, 0), 0)).remaining == 90

    asyncio.run(main())


def test_a_store_that_is_down_is_left_alone_but_for_the_probe(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared, "PROBE_S", 60)

    async def main() -> None:
        async with gated() as (gate, tested):
            gate.cut = True
            await tested.take("first", tokens(100, 1))
            asked = gate.asked
            for number in range(10):
                await tested.take(str(number), tokens(100, 1))
                await tested.settle(str(number), tokens(100, 1), 1)
            await tested.store.renew(["first", "other"])
            await tested.store.seed(quotas([charge("tokens_per_day", 100)]), [0], NOON)
            assert gate.asked == asked
            assert tested.changes.told == [True]

    asyncio.run(main())


def test_open_calls_are_renewed_where_they_were_taken() -> None:
    async def main() -> None:
        async with gated() as (gate, tested):
            place = charge("concurrent_requests", 4)
            await tested.take("there", place)
            gate.cut = True
            await tested.take("here", place)
            gate.cut = False
            await tested.back()
            asked = gate.asked
            await tested.store.renew(["here"])
            assert gate.asked == asked
            await tested.store.renew(["here", "there"])
            assert gate.asked == asked + 1

    asyncio.run(main())


def test_days_are_asked_for_again_by_whoever_decides() -> None:
    async def main() -> None:
        async with gated() as (gate, tested):
            day = charge("tokens_per_day", 100, 10)

            async def seeded(hold_id: str) -> int:
                assert isinstance(await tested.take(hold_id, day), Unseeded)
                await tested.store.seed(quotas([day]), [6], NOON)
                taken = await tested.take(hold_id, day)
                assert isinstance(taken, Granted)
                return taken.standings[0].remaining

            async def cut() -> None:
                gate.cut = True
                tested.changes.back.clear()
                await tested.take("notices", tokens(100, 0))

            assert await seeded("a") == 100 - 6 - 10
            await cut()
            assert await seeded("b") == 25 - 2 - 10, "a quarter of the limit, and of what was used"
            gate.cut = False
            await tested.back()
            assert isinstance(await tested.take("c", day), Granted)
            await cut()
            assert await seeded("d") == 25 - 2 - 10, "what it knew is of an earlier time"

    asyncio.run(main())


def test_what_fits_the_limit_and_not_the_share_may_come_back() -> None:
    async def main() -> None:
        async with gated() as (gate, tested):
            gate.cut = True
            assert await tested.take("a", tokens(100, 26)) == Refused(0, 25, shared.PROBE_S, 25)
            assert await tested.take("a", tokens(100, 101)) == Refused(0, 25, None)

    asyncio.run(main())


# Redis itself


def test_a_flushed_redis_asks_for_the_day_again(redis_server: RedisServer) -> None:
    async def main() -> None:
        store = RedisLimits(redis_server.url)
        day = [charge("tokens_per_day", 100, 10)]
        unseeded = await take(store, "a", day)
        assert isinstance(unseeded, Unseeded)
        await store.seed(quotas(day), [20], unseeded.at)
        assert isinstance(await take(store, "a", day), Granted)
        redis_server.flush()
        assert isinstance(await take(store, "b", day), Unseeded)
        await store.settle("a", quotas(day), [10])
        assert (await standing(store, day[0])).remaining == 100
        await store.close()

    asyncio.run(main())


def test_a_restarted_redis_is_used_on_at_once(server: RedisServer) -> None:
    async def main() -> None:
        store = RedisLimits(server.url)
        assert isinstance(await take(store, "a", [tokens(100, 40)]), Granted)
        server.stop()
        server.start()
        assert isinstance(await take(store, "a", [tokens(100, 40)]), Granted)
        await store.close()

    asyncio.run(main())


def test_what_is_wrong_is_one_line_without_the_password(tmp_path: Path) -> None:
    async def main(server: RedisServer) -> None:
        for password in ("open-sesame", "wrong-sesame"):
            store = RedisLimits(f"redis://:{password}@127.0.0.1:{server.port}/0")
            if password == server.password:
                await store.probe()
                server.stop()
            with pytest.raises(StoreDown) as caught:
                await take(store, "a", [tokens(100, 40)])
            assert str(caught.value).startswith(f"127.0.0.1:{server.port}")
            assert "sesame" not in str(caught.value)
            assert "\n" not in str(caught.value)
            await store.close()
            if password == server.password:
                server.start()

    for server in running_server(tmp_path, "open-sesame"):
        asyncio.run(main(server))


def test_a_full_redis_takes_nothing(server: RedisServer) -> None:
    async def main() -> None:
        store = RedisLimits(server.url)
        with server.client() as client:
            client.config_set("maxmemory", "1")
            client.config_set("maxmemory-policy", "noeviction")
        with pytest.raises(StoreDown, match="maxmemory"):
            await store.probe()
        with pytest.raises(StoreDown, match="maxmemory"):
            await take(store, "a", [tokens(100, 40)])
        await store.close()

    asyncio.run(main())


def test_a_redis_that_hangs_is_down(server: RedisServer) -> None:
    async def main() -> None:
        store = RedisLimits(server.url)
        await store.probe()
        with server.client() as client:
            client.execute_command("CLIENT", "PAUSE", 30_000, "ALL")
        takes = [take(store, str(number), [tokens(100, 1)]) for number in range(3)]
        answers = await asyncio.gather(*takes, return_exceptions=True)
        assert [type(one) for one in answers] == [StoreDown] * 3
        await store.close()

    asyncio.run(main())


# Shares


@pytest.mark.parametrize(("limit", "shares"), [(10, 3), (3, 3), (100, 1), (7, 4)])
def test_shares_make_up_the_limit(limit: int, shares: int) -> None:
    granted = 0
    for number in range(shares):
        store: LimitStore = ShareOf(MemoryLimits(), shares, number)
        while isinstance(told(store.take(str(granted), *asked([tokens(limit, 1)])), 1), Granted):
            granted += 1
    assert granted == limit


def test_a_share_is_at_least_one() -> None:
    store = ShareOf(MemoryLimits(), 8)
    assert isinstance(told(store.take("a", *asked([tokens(5, 1)])), 1), Granted)
    assert isinstance(told(store.take("b", *asked([tokens(5, 1)])), 1), Refused)


def test_what_is_above_the_share_and_not_the_limit_says_so() -> None:
    store = ShareOf(MemoryLimits(), 4)
    above_share = told(store.take("a", *asked([tokens(100, 26)])), 1)
    assert isinstance(above_share, Refused) and (above_share.retry_after_s, above_share.share) == (None, 25)
    above_limit = told(store.take("b", *asked([tokens(100, 101)])), 1)
    assert isinstance(above_limit, Refused) and (above_limit.retry_after_s, above_limit.share) == (None, None)
    assert isinstance(told(store.take("c", *asked([tokens(100, 20)])), 1), Granted)
    later = told(store.take("d", *asked([tokens(100, 20)])), 1)
    assert isinstance(later, Refused) and later.retry_after_s is not None and later.share is None


def test_a_share_is_seeded_with_its_part() -> None:
    clock = Clock()
    store, day = ShareOf(MemoryLimits(clock), 4), charge("tokens_per_day", 100, 1)
    store.seed(quotas([day]), [50], clock.now)
    outcome = told(store.take("a", *asked([day])), 1)
    assert isinstance(outcome, Granted)
    assert outcome.standings[0].remaining == 25 - 13 - 1
