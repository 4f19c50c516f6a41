"""What every `Ledger` does."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from server.stores.base import Ledger, StoreError
from server.stores.records import UsageRecord, UsageTotal
from server.stores.sql.opening import open_durable
from server.stores.sql.store import SqlStore
from tests.services.durable import Backend

DAY, HOUR = 86_400, 3_600
T = 20_000 * DAY  # a midnight


def a_call(number: int, at: float = T, **fields: Any) -> UsageRecord:
    made = UsageRecord(
        call_id=f"call-{number:06}",
        at=at,
        project_id="proj_1",
        key_id="key_1",
        model="gpt-oss-20b",
        endpoint="chat.completions",
        priority="standard",
        outcome="ok",
        status=200,
        prompt=100,
        cached=10,
        completion=20,
        reasoning=5,
        cost=7,
        queued_ms=0.25,
        first_token_ms=12.5,
        duration_ms=250.0,
    )
    return msgspec.structs.replace(made, **fields)


def total(start: int, requests: int, of: UsageRecord | None = None, **group: str) -> UsageTotal:
    one = of or a_call(0)
    sums = [requests * value for value in (one.prompt, one.cached, one.completion, one.reasoning, one.cost)]
    return UsageTotal(start, group.get("project_id"), group.get("key_id"), group.get("model"), requests, *sums)


async def test_kept_as_it_was(store: SqlStore, backend: Backend) -> None:
    ledger: Ledger = store
    await ledger.add_usage([a_call(1, T + 0.25, first_token_ms=None, outcome="client_left", status=499)])
    row = backend.sql(
        "SELECT call_id, at_ms, project_id, key_id, model, endpoint, priority, outcome, status, prompt, cached, "
        "completion, reasoning, cost, queued_ms, coalesce(first_token_ms, -1), duration_ms FROM usage"
    )
    left, *numbers = row.rsplit("|", 3)
    assert left == (
        f"call-000001|{T * 1000 + 250}|proj_1|key_1|gpt-oss-20b|chat.completions|standard|client_left|499|100|10|20|5|7"
    )
    assert [float(number) for number in numbers] == [0.25, -1, 250]


async def test_nothing(store: SqlStore) -> None:
    await store.add_usage([])
    assert await store.usage(since=T, until=T + DAY, bucket_s=DAY) == []
    assert await store.usage(since=T, until=T, bucket_s=DAY) == []


async def test_requests_are_those_that_were_served(store: SqlStore) -> None:
    """By an engine, or without one: calls of moderation have no tokens."""
    free: dict[str, Any] = dict.fromkeys(("prompt", "cached", "completion", "reasoning", "cost"), 0)
    limited: dict[str, Any] = free | {"status": 429, "outcome": "limited"}
    at_moderation: dict[str, Any] = {"endpoint": "moderations", "model": "moderations"}
    await store.add_usage(
        [a_call(1), a_call(2, **free), a_call(3, **free, **at_moderation), a_call(4, **limited, **at_moderation)]
    )
    for bucket in (DAY, 60):
        found = await store.usage(since=T, until=T + bucket, bucket_s=bucket, group_by=["model"])
        assert {one.model: one.requests for one in found} == {"gpt-oss-20b": 1, "moderations": 1}


async def test_exactly_once(store: SqlStore) -> None:
    await store.add_usage([a_call(1), a_call(2)])
    await store.add_usage([a_call(2, prompt=999), a_call(3), a_call(3)])
    await store.add_usage([a_call(1)])
    assert await store.usage(since=T, until=T + DAY, bucket_s=DAY) == [total(T, 3)]
    assert await store.usage(since=T, until=T + 60, bucket_s=60) == [total(T, 3)]


async def test_exactly_once_from_several_at_once(store: SqlStore, backend: Backend) -> None:
    """As when a spool is delivered by whoever comes first, in any order."""
    others = [await open_durable(backend.url, backend.home) for _ in range(3)]
    calls = [a_call(number, T + number) for number in range(300)]
    parts = [calls, calls[::-1], calls[100:], calls[:200]]
    await asyncio.gather(*(one.add_usage(part) for one, part in zip((store, *others), parts, strict=True)))
    for bucket in (DAY, 60):
        totals = await store.usage(since=T, until=T + DAY, bucket_s=bucket)
        assert sum(one.requests for one in totals) == 300
        assert sum(one.prompt for one in totals) == 30_000
    for other in others:
        await other.close()


async def test_large_batch(store: SqlStore) -> None:
    calls = [a_call(number, T + number, key_id=f"key_{number % 7}") for number in range(5000)]
    await store.add_usage(calls)
    assert await store.usage(since=T, until=T + DAY, bucket_s=DAY) == [total(T, 5000)]
    hours = await store.usage(since=T, until=T + 2 * HOUR, bucket_s=HOUR)
    assert hours == [total(T, 3600), total(T + HOUR, 1400)]


async def test_all_or_none(store: SqlStore) -> None:
    many = [a_call(number) for number in range(250)]  # more than go in one statement
    bad = a_call(250, model=None)  # which no column takes
    with pytest.raises(StoreError, match="refused"):
        await store.add_usage([*many, bad])
    assert await store.usage(since=T, until=T + 60, bucket_s=60) == []
    await store.add_usage([a_call(1)])
    assert await store.usage(since=T, until=T + DAY, bucket_s=DAY) == [total(T, 1)]


async def test_groups_and_filters(store: SqlStore) -> None:
    await store.add_usage(
        [
            a_call(1),
            a_call(2, key_id="key_2"),
            a_call(3, project_id="proj_2", key_id="key_3"),
            a_call(4, project_id="proj_2", key_id="key_3", model="gpt-oss-120b"),
        ]
    )

    for bucket_s in (DAY, 60):

        async def asked(bucket_s: int = bucket_s, **how: Any) -> list[UsageTotal]:
            return await store.usage(since=T, until=T + DAY, bucket_s=bucket_s, **how)

        assert await asked(group_by=["project_id"]) == [
            total(T, 2, project_id="proj_1"),
            total(T, 2, project_id="proj_2"),
        ]
        assert await asked(group_by=["model", "project_id"]) == [
            total(T, 2, project_id="proj_1", model="gpt-oss-20b"),
            total(T, 1, project_id="proj_2", model="gpt-oss-120b"),
            total(T, 1, project_id="proj_2", model="gpt-oss-20b"),
        ]
        assert len(await asked(group_by=["project_id", "key_id", "model"])) == 4
        assert await asked(project_ids=["proj_2"]) == [total(T, 2)]
        assert await asked(key_ids=["key_1", "key_2"]) == [total(T, 2)]
        assert await asked(models=["gpt-oss-120b"], project_ids=["proj_1"]) == []
        assert await asked(models=["gpt-oss-120b"], key_ids=["key_3"]) == [total(T, 1)]
        assert await asked(without=["gpt-oss-120b"]) == [total(T, 3)]
        assert await asked(without=["gpt-oss-120b", "gpt-oss-20b"]) == []
        assert await asked(models=["gpt-oss-120b"], without=["gpt-oss-20b"]) == [total(T, 1)]


async def test_edges(store: SqlStore) -> None:
    """`since` counts, `until` does not; buckets are counted from `since`."""
    await store.add_usage([a_call(number, T + at) for number, at in enumerate((-0.001, 0, 59.999, 60, 119.999, 120))])
    assert await store.usage(since=T, until=T + 120, bucket_s=60) == [total(T, 2), total(T + 60, 2)]
    assert await store.usage(since=T + 30, until=T + 120, bucket_s=60) == [total(T + 30, 2), total(T + 90, 1)]
    assert await store.usage(since=T, until=T + HOUR, bucket_s=HOUR) == [total(T, 5)]


calls = st.builds(
    lambda at, key, prompt: (T + at / 4, key, prompt),
    st.integers(-8 * HOUR, 4 * 26 * HOUR),
    st.sampled_from(["key_1", "key_2"]),
    st.integers(0, 1000),
)


@pytest.fixture(scope="module")
def numbers() -> Any:
    return iter(range(10**9))


@given(
    added=st.lists(calls, min_size=1, max_size=20),
    since=st.one_of(st.integers(-2, 24).map(lambda hours: hours * HOUR), st.integers(-HOUR, 24 * HOUR)),
    length=st.one_of(st.integers(1, 26).map(lambda hours: hours * HOUR), st.integers(1, 26 * HOUR)),
    bucket_s=st.sampled_from([60, HOUR, 3 * HOUR, DAY]),
)
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_sums(
    backend: Backend, numbers: Any, added: list[tuple[float, str, int]], since: int, length: int, bucket_s: int
) -> None:
    """Whichever way it is added up, it is the sum of the calls."""
    project = f"proj_{next(numbers)}"  # one database for all examples
    records = [a_call(next(numbers), at, project_id=project, key_id=key, prompt=prompt) for at, key, prompt in added]
    since += T
    until = since + length
    expected: dict[tuple[int, str], list[int]] = {}
    for record in records:
        if since <= record.at < until:
            start = since + (int(record.at) - since) // bucket_s * bucket_s
            sums = expected.setdefault((start, record.key_id), [0, 0])
            sums[0] += record.prompt > 0  # else it never reached an engine
            sums[1] += record.prompt

    async def summed() -> list[UsageTotal]:
        store = await open_durable(backend.url, backend.home)
        await store.add_usage(records)
        one = [project]
        totals = await store.usage(since=since, until=until, bucket_s=bucket_s, group_by=["key_id"], project_ids=one)
        await store.close()
        return totals

    totals = asyncio.run(summed())
    assert {(one.start, one.key_id): [one.requests, one.prompt] for one in totals} == expected
