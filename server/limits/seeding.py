"""What a day or a month has used so far, for counters that are new to the store: after a restart, say."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Protocol

from server.limits.plan import REQUESTS, SPEND
from server.stores.base import Charge, LimitKind
from server.stores.records import UsageTotal

SECONDS_OF_A_MONTH = 31 * 86_400


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


async def used_so_far(totals: Totals, charges: Sequence[Charge], now: float) -> list[int]:
    """In the order of the charges. Raises `StoreDown`."""
    return [await _used(totals, charge, now) for charge in charges]


async def _used(totals: Totals, charge: Charge, now: float) -> int:
    kind, _, name = charge.scope.partition(":")
    project, _, model = name.partition("/")
    found = await totals.usage(
        since=start_of(charge.kind, now),
        until=int(now) + 1,
        bucket_s=SECONDS_OF_A_MONTH,
        project_ids=[project] if kind == "project" else [],
        key_ids=[name] if kind == "key" else [],
        models=[name] if kind == "model" else [model] if model else [],
    )
    if charge.kind == SPEND:
        return sum(one.cost for one in found)
    if charge.kind in REQUESTS:
        return sum(one.requests for one in found)
    return sum(one.prompt + one.completion for one in found)


def start_of(kind: LimitKind, now: float) -> int:
    """The beginning of the day or month (UTC) of `now`, Unix seconds."""
    moment = datetime.fromtimestamp(now, UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    if kind == SPEND:
        moment -= timedelta(days=moment.day - 1)
    return int(moment.timestamp())
