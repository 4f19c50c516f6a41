"""Asks a model for verdicts: the shell around an adapter, with all that may go wrong on the way."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic
from typing import NamedTuple, Protocol

from server.breaker import Breaker
from server.moderation.judges.adapter import Adapter
from server.moderation.judges.cache import VerdictCache
from server.moderation.judges.verdicts import SAFE, Failure, JudgeFailed, MalformedAnswer, Verdict
from server.moderation.judges.windows import combined, cut

OVERLOADED = (429, 503)
log = logging.getLogger("portico")


class Answer(Protocol):
    """A whole HTTP answer."""

    @property
    def status(self) -> int: ...

    @property
    def body(self) -> bytes: ...

    @property
    def whole(self) -> bool:
        """False: it was longer than anybody reads, and `body` is not all of it."""
        ...


class Post(Protocol):
    """What a judge needs of the engines' client."""

    async def post(self, path: str, body: bytes, *, at_root: bool, within_s: float) -> Answer:
        """A POST of JSON. Raises TimeoutError if there is no whole answer after `within_s`, and another OSError if
        there is no connection or it breaks. Cancelled or late, it closes the connection: the engine stops computing.
        """
        ...


class Bounds(NamedTuple):
    """`timeout_s` is for a text with all its windows, waiting included. Of all questions of a judge `concurrent` are
    with the engine at once, and at most `waiting` more wait for that.
    """

    timeout_s: float = 5.0
    concurrent: int = 8
    waiting: int = 64


@dataclass
class _Flight:
    """A text that is being judged, and how many wait for the outcome."""

    task: asyncio.Task[Verdict | Failure]
    askers: int = 0


class Judge:
    """`ask` until `close`. What a failure means for a call is its caller's to decide (`verdicts.decided`).

    The breaker counts what says that the engine is not well: no connection, no answer in time, a 5xx or 429. A
    malformed answer or a 4xx does not count: a text can bring one about, and its author must not be able to switch the
    judge off for everybody else.
    """

    def __init__(
        self,
        name: str,
        adapter: Adapter,
        post: Post,
        cache: VerdictCache,
        breaker: Breaker,
        bounds: Bounds = Bounds(),  # noqa: B008  # immutable
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._name = name
        self._adapter = adapter
        self._policy_hash = adapter.policy_hash
        self._post = post
        self._cache = cache
        self._breaker = breaker
        self._bounds = bounds
        self._clock = clock
        self._slots = asyncio.Semaphore(bounds.concurrent)
        self._waiting = 0
        self._flights: dict[bytes, _Flight] = {}
        self._tasks: set[asyncio.Task[Verdict | Failure]] = set()
        self._closed = False

    async def ask(self, text: str) -> Verdict:
        """Raises `JudgeFailed`. Who asks what is being asked already waits for the same answer."""
        if not text:
            return Verdict(flagged=False, categories={}, reason=SAFE, scanned=0, length=0)
        key = self._cache.key(self._policy_hash, self._adapter.model, text)
        known = self._cache.get(key, self._clock())
        if known is not None:
            return known
        outcome = await self._together(key, text)
        if isinstance(outcome, Failure):
            raise JudgeFailed(outcome)
        return outcome

    async def close(self) -> None:
        """Whoever still waits gets a failure; returns when nothing of the judge runs any more."""
        self._closed = True
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    # Once for all who ask the same

    async def _together(self, key: bytes, text: str) -> Verdict | Failure:
        if self._closed:
            return Failure.STOPPED
        flight = self._flights.get(key) or self._begin(key, text)
        flight.askers += 1
        try:
            await asyncio.wait((flight.task,))
        finally:
            flight.askers -= 1
            if not flight.askers:
                flight.task.cancel()  # nobody wants to know any more, unless it is done
                if self._flights.get(key) is flight:
                    del self._flights[key]
        return Failure.STOPPED if flight.task.cancelled() else flight.task.result()

    def _begin(self, key: bytes, text: str) -> _Flight:
        task = asyncio.get_running_loop().create_task(self._judged(key, text), name=f"judge {self._name}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        flight = self._flights[key] = _Flight(task)
        return flight

    async def _judged(self, key: bytes, text: str) -> Verdict | Failure:
        deadline = asyncio.get_running_loop().time() + self._bounds.timeout_s
        ranges = cut(len(text), self._adapter.windows)
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._window(text[start:end], deadline)) for start, end in ranges]
        outcome = combined([(where, task.result()) for where, task in zip(ranges, tasks, strict=True)], len(text))
        if isinstance(outcome, Verdict):
            self._cache.put(key, outcome, self._clock())
        return outcome

    # One question

    async def _window(self, text: str, deadline: float) -> Verdict | Failure:
        if not self._breaker.admits(self._clock()):
            return Failure.BREAKER_OPEN
        if self._slots.locked() and self._waiting >= self._bounds.waiting:
            return Failure.OVERLOADED
        self._waiting += 1
        try:
            async with asyncio.timeout_at(deadline):
                await self._slots.acquire()
        except TimeoutError:
            return Failure.OVERLOADED  # the engine was not asked: it is not late
        finally:
            self._waiting -= 1
        try:
            return await self._guarded(text, deadline)
        finally:
            self._slots.release()

    async def _guarded(self, text: str, deadline: float) -> Verdict | Failure:
        ticket = self._breaker.enter(self._clock())
        if ticket is None:
            return Failure.BREAKER_OPEN
        well: bool | None = None
        try:
            outcome, well = await self._asked(text, deadline)
            return outcome
        finally:
            self._leave(ticket, well)

    async def _asked(self, text: str, deadline: float) -> tuple[Verdict | Failure, bool | None]:
        """The outcome, and whether the engine is well; None if that does not say."""
        adapter = self._adapter
        body = adapter.question(text, secrets.token_hex(16))
        within_s = deadline - asyncio.get_running_loop().time()
        if within_s <= 0:
            return Failure.OVERLOADED, None
        try:
            answer = await self._post.post(adapter.path, body, at_root=adapter.at_root, within_s=within_s)
        except TimeoutError:
            # If most of the time went by in waiting for a slot, it is we who were slow.
            return Failure.LATE, False if within_s > self._bounds.timeout_s / 2 else None
        except OSError:
            return Failure.UNREACHABLE, False
        well = answer.status < 500 and answer.status not in OVERLOADED
        return self._read(answer, text), well

    def _read(self, answer: Answer, text: str) -> Verdict | Failure:
        if answer.status != 200:
            return Failure.OVERLOADED if answer.status in OVERLOADED else Failure.REFUSED
        if not answer.whole:
            return Failure.MALFORMED
        try:
            return self._adapter.verdict(answer.body, text)
        except MalformedAnswer:
            return Failure.MALFORMED

    def _leave(self, ticket: int, well: bool | None) -> None:
        before = self._breaker.closed
        self._breaker.leave(ticket, well, self._clock())
        after = self._breaker.closed
        if before and not after:
            log.warning("judge %s fails again and again: left alone for a while", self._name)
        elif after and not before:
            log.warning("judge %s answers again", self._name)
