"""What Portico asks of its stores, in verbs of its domain. Durable state apart from volatile.

Implementations: `sql/` (SQLite and PostgreSQL) for `Directory`, `AuditLog`, `Ledger` and `Retention`; `memory.py` and
`redis.py` for `LimitStore`. One contract suite each, run on every backend (tests/contract/).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Literal, Protocol

from msgspec import Struct

from server.stores.records import (
    Actor,
    AdminKeyRecord,
    AuditRecord,
    ChainEnds,
    KeyRecord,
    ProjectRecord,
    ServiceAccountRecord,
    UsageRecord,
    UsageTotal,
)


class StoreError(Exception):
    """Base of what stores raise; the text is one line for a person."""


class StoreDown(StoreError):
    """It cannot be reached, or did not answer in time."""


class AccessRefused(StoreDown):
    """It is there, and lets us not in: the user, the password or the database is not one that it knows."""


class NewerSchema(StoreError):
    """It was made by a newer Portico."""


class NotThere(StoreError):
    """No record has this id (in this project)."""


class NotAllowed(StoreError):
    """The record is in no state for this: archived, revoked, expired."""


class Directory(Protocol):
    """Projects, keys, service accounts, admin keys. Every change writes its audit record in the same transaction.

    Lists come in the order of creation, newest first; `after` is the id of the last one seen. All methods raise
    `StoreDown`.
    """

    async def server_secret(self) -> bytes:
        """32 random bytes, made once for this database: the root of key tags and cache salts."""
        ...

    async def create_project(self, name: str, actor: Actor) -> ProjectRecord: ...

    async def projects(
        self, *, after: str | None = None, limit: int = 100, archived: bool = False
    ) -> list[ProjectRecord]: ...

    async def project(self, project_id: str) -> ProjectRecord:
        """Raises `NotThere`."""
        ...

    async def change_project(
        self, project_id: str, change: Callable[[ProjectRecord], ProjectRecord], actor: Actor
    ) -> ProjectRecord:
        """Keep name, weight, limits and policy of what `change` makes of the record, which nobody else changes then.

        Raises `NotThere`, `NotAllowed` (archived), and what `change` raises: nothing is changed then.
        """
        ...

    async def archive_project(self, project_id: str, actor: Actor) -> ProjectRecord:
        """Its keys stop working. Raises `NotThere`."""
        ...

    async def create_key(self, new: KeyRecord, actor: Actor) -> None:
        """Raises `NotThere` (project, service account), `NotAllowed` (archived project)."""
        ...

    async def keys(
        self, project_id: str | None = None, *, after: str | None = None, limit: int = 100, revoked: bool = True
    ) -> list[KeyRecord]:
        """Of all projects if that is None; without the revoked ones if `revoked` is false."""
        ...

    async def key(self, project_id: str | None, key_id: str) -> KeyRecord:
        """Of any project if that is None. Raises `NotThere`."""
        ...

    async def expiring_keys(self, after: int, until: int) -> int:
        """How many keys that are not revoked expire between these times (Unix seconds, both included)."""
        ...

    async def change_key(self, key_id: str, change: Callable[[KeyRecord], KeyRecord], actor: Actor) -> KeyRecord:
        """Keep name, grants and expiry of what `change` makes of the record, as `change_project` does.

        Raises `NotThere`, `NotAllowed` (revoked, expired), and what `change` raises.
        """
        ...

    async def revoke_key(self, project_id: str | None, key_id: str, actor: Actor) -> KeyRecord:
        """At once; again is no harm. Raises `NotThere`."""
        ...

    async def rotate_key(self, key_id: str, successor: KeyRecord, overlap_s: int, actor: Actor) -> None:
        """Add `successor` and let the old key expire after `overlap_s`. Raises `NotThere`, `NotAllowed`."""
        ...

    async def find_key(self, lookup: str) -> tuple[KeyRecord, ProjectRecord] | None:
        """What the public part of a secret leads to, revoked or not. One query."""
        ...

    async def touch_keys(self, last_used: Mapping[str, int]) -> None:
        """Note when keys and admin keys (by id) were last used; earlier than what is noted changes nothing."""
        ...

    async def create_service_account(self, new: ServiceAccountRecord, key: KeyRecord | None, actor: Actor) -> None:
        """With its first key, or none. Raises `NotThere`, `NotAllowed`."""
        ...

    async def service_accounts(
        self, project_id: str, *, after: str | None = None, limit: int = 100
    ) -> list[ServiceAccountRecord]: ...

    async def service_account(self, project_id: str, account_id: str) -> ServiceAccountRecord:
        """Raises `NotThere`."""
        ...

    async def change_service_account(
        self,
        project_id: str,
        account_id: str,
        change: Callable[[ServiceAccountRecord], ServiceAccountRecord],
        actor: Actor,
    ) -> ServiceAccountRecord:
        """Keep name and role of what `change` makes of the record, as `change_project` does. Raises `NotThere`."""
        ...

    async def delete_service_account(self, project_id: str, account_id: str, actor: Actor) -> None:
        """And revoke its keys. Raises `NotThere`."""
        ...

    async def create_admin_key(self, new: AdminKeyRecord, actor: Actor) -> None: ...

    async def admin_keys(self, *, after: str | None = None, limit: int = 100) -> list[AdminKeyRecord]: ...

    async def admin_key(self, key_id: str) -> AdminKeyRecord:
        """Raises `NotThere`."""
        ...

    async def delete_admin_key(self, key_id: str, actor: Actor) -> None:
        """Raises `NotThere`."""
        ...

    async def find_admin_key(self, lookup: str) -> AdminKeyRecord | None: ...

    async def watch(self, changed: Callable[[], None]) -> None:
        """Call `changed` soon after any process changed the directory; runs until cancelled.

        PostgreSQL: LISTEN. SQLite: its data version, asked twice a second. Called too when it begins to listen, at the
        start and after a lost connection, since changes may have been missed.
        """
        ...


LogName = Literal["audit", "decisions"]
"""The logs: changes of the directory, and decisions of moderation."""


class AuditLog(Protocol):
    """Append-only logs; written by the changes of `Directory`, and by `Ledger.add_usage`. Raises `StoreDown`."""

    async def audit(
        self,
        *,
        log: LogName = "audit",
        after: str | None = None,
        before: str | None = None,
        limit: int = 20,
        events: Sequence[str] = (),
        project_ids: Sequence[str] = (),
        actor_ids: Sequence[str] = (),
        subject_ids: Sequence[str] = (),
        since: int | None = None,
        until: int | None = None,
    ) -> list[AuditRecord]:
        """Newest first. Empty filters let all pass; `since` and `until` are inclusive Unix seconds."""
        ...

    async def verify_audit(self, log: LogName = "audit") -> str | None:
        """None if the chain is whole, else one line that names the first record that is not as it was written."""
        ...

    async def chain_ends(self, log: LogName) -> ChainEnds: ...


class Ledger(Protocol):
    """Usage: one record per call."""

    async def add_usage(self, records: Sequence[UsageRecord]) -> None:
        """And the decisions that they carry. What is there already is passed over, so again is no harm.

        Raises `StoreDown`, `StoreError`.
        """
        ...

    async def usage(
        self,
        *,
        since: int,
        until: int,
        bucket_s: int,
        group_by: Sequence[Literal["project_id", "key_id", "model"]] = (),
        project_ids: Sequence[str] = (),
        key_ids: Sequence[str] = (),
        models: Sequence[str] = (),
        without: Sequence[str] = (),
    ) -> list[UsageTotal]:
        """Sums by time bucket (`start = since + n * bucket_s`) and group over [since, until); no empty ones.

        `without`: models that are left out.
        """
        ...


class Retention(Protocol):
    """Removing what is old, a few records in each step. All raise `StoreDown`."""

    async def take_duty(self, name: str, for_s: int) -> bool:
        """True for one of all processes: it does what is so called, and nobody else does in the next `for_s`."""
        ...

    async def drop_usage(self, before: int, limit: int) -> int:
        """Of calls that ended before that time, and sums of hours that did: at most `limit` each; how many."""
        ...

    async def cut_log(self, log: LogName, before: int, limit: int) -> int:
        """The first records, at most `limit`, that are all older than that time; how many.

        The chain remembers the last one's number and hash: it begins after it from now on.
        """
        ...


# Volatile

LimitKind = Literal[
    "requests_per_minute",
    "requests_per_day",
    "tokens_per_minute",
    "tokens_per_day",
    "concurrent_requests",
    "spend_per_month",
]
"""The fields of `config.Limit`. A minute is any 60 seconds (kept by the second: what was taken counts for 60 to 61);
days and months are those of the calendar, UTC. Spend counts in millionths of the unit of the prices."""


class Quota(Struct, frozen=True):
    """One limit."""

    scope: str  # whose it is: key:ID, project:ID, project:ID/MODEL, model:ID
    kind: LimitKind
    limit: int


class Taken:
    """All amounts were taken. It tells how limits stand when it is asked, so ask at once: it may be used again."""

    __slots__ = ()

    def tightest(self, indexes: Sequence[int]) -> tuple[int, int, float]:
        """Of these quotas that with the least left: its index, what is left (never below 0), and seconds until all of
        it is there again if nothing more is taken; 1 is a guess for open calls."""
        raise NotImplementedError


class Standings(Taken):
    """As a store told them, in the order of the quotas."""

    __slots__ = ("_remaining", "_resets_s")

    def __init__(self, remaining: Sequence[int], resets_s: Sequence[float]) -> None:
        self._remaining = remaining
        self._resets_s = resets_s

    def tightest(self, indexes: Sequence[int]) -> tuple[int, int, float]:
        index = min(indexes, key=self._remaining.__getitem__)
        return index, self._remaining[index], self._resets_s[index]


class Refused(Struct, frozen=True):
    """Nothing was taken: what was asked of `quotas[index]` does not fit. If of several, that with the longest wait.

    An amount of 0 always fits, whatever is owed.
    """

    index: int
    remaining: int
    retry_after_s: float | None  # until it fits if open calls use all they hold; None: above the limit, never fits
    share: int | None = None  # of the limit, where that and not the limit itself is what the call is larger than


class Unseeded(Struct, frozen=True):
    """Nothing was taken: these counters of a day or month are new to the store. `seed` them and ask again."""

    indexes: tuple[int, ...]
    at: float  # the store's clock, Unix seconds: it says which day and month it is


class LimitStore(Protocol):
    """Counters of limits: an amount for each quota.

    Each method is one atomic step, on the store's own clock, and may answer at once or later.

    A hold that is neither settled nor renewed for `LEASE_S` is dropped: what it took for good (requests) stays, its
    unsettled tokens and spend and its place among the concurrent requests are given back. Raises `StoreDown`, from the
    call or from what it returned.
    """

    @property
    def degraded(self) -> bool:
        """It stands in for a shared store that is down."""
        ...

    def take(self, hold_id: str, quotas: Quotas, amounts: Sequence[int]) -> Outcome | Awaitable[Outcome]:
        """All of `amounts` or nothing. A hold that is open already takes nothing more: asking again is no harm."""
        ...

    def settle(self, hold_id: str, quotas: Quotas, used: Sequence[int]) -> Awaitable[None] | None:
        """Correct each amount to what was `used` (more or less than taken) and end the hold; again is no harm.

        `quotas` are those of `take`. A place among the concurrent requests is given back whatever `used` says.
        """
        ...

    def renew(self, hold_ids: Sequence[str]) -> Awaitable[None] | None:
        """These calls are still open."""
        ...

    def seed(self, quotas: Quotas, used: Sequence[int], at: float) -> Awaitable[None] | None:
        """Set what the day or month of `at` has used so far, if it is the present one and the store does not know.

        `at` is that of `Unseeded`; what was looked up just before midnight is nothing to begin a day with.
        """
        ...

    async def close(self) -> None: ...


LEASE_S = 60.0
Quotas = tuple[Quota, ...]
"""Stores may remember what they know of it by its identity: that of one key and model is best made once."""
Outcome = Taken | Refused | Unseeded
