"""What a day or a month has used so far, for counters that are new to the store: after a restart, say."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Protocol

from server.limits.plan import REQUESTS, SPEND
from server.stores.base import LimitKind, Quota
from server.stores.records import UsageTotal


class Totals(Protocol):
    """The part of `stores.base.Ledger` that is needed here."""

    async def usage(
        self,
        *,
        since: int,
        until: int,
        bucket_s: int,
        project_ids: Sequence[str] = (),
        key_ids: Sequence[str] = (),
        models: Sequence[str] = (),
    ) -> list[UsageTotal]: ...


async def used_so_far(totals: Totals, quotas: Sequence[Quota], now: float) -> list[int]:
    """In the order of the quotas. Raises `StoreDown`."""
    return [await _used(totals, quota, now) for quota in quotas]


async def _used(totals: Totals, quota: Quota, now: float) -> int:
    kind, _, name = quota.scope.partition(":")
    project, _, model = name.partition("/")
    since, until = period(quota.kind, now)
    found = await totals.usage(
        since=since,
        until=until,
        bucket_s=until - since,
        project_ids=[project] if kind == "project" else [],
        key_ids=[name] if kind == "key" else [],
        models=[name] if kind == "model" else [model] if model else [],
    )
    if quota.kind == SPEND:
        return sum(one.cost for one in found)
    if quota.kind in REQUESTS:
        return sum(one.requests for one in found)
    return sum(one.prompt + one.completion for one in found)


def period(kind: LimitKind, now: float) -> tuple[int, int]:
    """The day or month (UTC) of `now`: its beginning and that of the next one, Unix seconds."""
    day = datetime.fromtimestamp(now, UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    if kind != SPEND:
        return int(day.timestamp()), int((day + timedelta(days=1)).timestamp())
    month = day.replace(day=1)
    return int(month.timestamp()), int((month + timedelta(days=32)).replace(day=1).timestamp())
