"""An engine as the gateway sees it: a client, how well it is, and how many calls it has.

It is looked after in two ways. Actively: a probe of its health path says whether it is up. Passively: a breaker hears
how its calls go, and takes it out while they fail; after a pause it lets one call through to see. Besides, an operator
may drain it: what it has goes on, nothing new comes.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter

from server.breaker import Breaker, State
from server.config import Engine as EngineConfig
from server.engines.client import EngineClient
from server.engines.connection import EngineLost, EngineSilent
from server.engines.dialect import dialect_of
from server.watchdog import Watchdog

PROBE_UP_S = 5.0
PROBE_DOWN_S = 0.5
PROBE_TIMEOUT_S = 5.0
FIRST_PROBE_S = 1.0  # how long a worker waits with its first client: it would have to refuse him
log = logging.getLogger("portico")


@dataclass(frozen=True)
class EngineAddress:
    """Where an engine of the configuration is, once a managed one has its port and key."""

    url: str
    api_key: str | None


class Engine:
    """`up` is None until the first probe has an answer. `capacity` is how many calls it may have from here.

    `limit` is how many it may have now.
    """

    def __init__(
        self, name: str, config: EngineConfig, url: str, api_key: str | None, watchdog: Watchdog, capacity: int
    ) -> None:
        self.name = name
        self.capacity = capacity
        self.in_flight = 0
        self.outstanding = 0.0
        self.up: bool | None = None
        self.drained = False
        self.limit = 0
        self._breaker = Breaker(config.breaker.failures, config.breaker.pause_s)
        self.client = EngineClient(config, url, api_key, watchdog)
        self._pause_s = config.breaker.pause_s
        self._managed = config.managed is not None
        self.dialect = dialect_of(config)
        self.make = self.dialect.make
        key = f"engines.{name}"
        self._way_out = "" if self._managed else f" ({url}; check {key}.url, {key}.api_key and {key}.health_path)"
        self._health_path = config.health_path or ("/health" if config.managed else self.make.health_path)
        self.on_change: Callable[[Engine], None] = lambda engine: None
        self.on_retry: Callable[[str], None] = lambda reason: None
        """Told when a call that it failed is tried again; why is in `portico_engine_retries_total`."""
        self._task: asyncio.Task[None] | None = None
        self._look = asyncio.Event()
        self._known = asyncio.Event()

    async def start(self) -> None:
        """Begin to watch it; returns when it is known whether it is up, or soon."""
        self._task = asyncio.get_running_loop().create_task(self._watch(), name=f"probe {self.name}")
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._known.wait(), FIRST_PROBE_S)

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        self.client.close()

    @property
    def usable(self) -> bool:
        return bool(self.up) and not self.drained

    @property
    def broken(self) -> bool:
        return not self._breaker.closed

    @property
    def breaker(self) -> State:
        return self._breaker.state(perf_counter())

    def drain(self, *, drained: bool) -> None:
        """Give it no more calls, or calls again."""
        if drained != self.drained:
            self.drained = drained
            log.info("engine %s is %s", self.name, "drained: it gets no more calls" if drained else "in use again")
            self._changed()

    def enter(self) -> int | None:
        """It gets a call. The ticket, if there is one, goes to `leave`."""
        ticket = self._breaker.enter(perf_counter())
        if ticket is not None and self.broken:
            self._changed()  # that was the one call
        return ticket

    def leave(self, ticket: int, well: bool | None) -> None:
        """How that call went; None where it says nothing of the engine."""
        before = self._breaker.closed
        self._breaker.leave(ticket, well, perf_counter())
        if before and self._breaker.closed:
            return  # nearly always
        if before:
            log.warning("engine %s fails: no calls for %g s, then one to try it", self.name, self._pause_s)
            self._look.set()
        elif self._breaker.closed:
            log.info("engine %s is well again", self.name)
        self._changed()

    def suspect(self) -> None:
        """A call could not reach it: believe that until a probe says otherwise."""
        self.mark(up=False, why="it cannot be connected to")
        self._look.set()

    def check_soon(self) -> None:
        """An answer broke off: probe now rather than later."""
        self._look.set()

    async def probe(self) -> str | None:
        """None if the engine answers its health path with 200 within `PROBE_TIMEOUT_S`, else why it is not well."""
        path, from_root = (self._health_path, True) if self._health_path else ("/models", False)
        try:
            async with asyncio.timeout(PROBE_TIMEOUT_S):
                status = await self.client.get(path, from_root=from_root)
        except TimeoutError:
            return f"no answer within {PROBE_TIMEOUT_S:g} s"
        except OSError as error:
            return (error.strerror or type(error).__name__).lower()
        except (EngineLost, EngineSilent) as error:
            return str(error)
        return None if status == 200 else f"{path} answers {status}"

    async def _watch(self) -> None:
        while True:
            self._look.clear()
            why = await self.probe()
            self.mark(up=why is None, why=why or "")
            self._known.set()
            if self.broken:
                self._changed()  # the pause may be over
            try:
                async with asyncio.timeout(PROBE_UP_S if self.up and not self.broken else PROBE_DOWN_S):
                    await self._look.wait()
                await asyncio.sleep(PROBE_DOWN_S)
            except TimeoutError:
                pass

    def mark(self, *, up: bool, why: str) -> None:
        """It was found to be up, or not."""
        if up == self.up:
            return
        first, self.up = self.up is None, up
        if up:
            log.info("engine %s is up", self.name)
        elif not (first and self._managed):  # that one is still loading, and its supervisor says so
            log.warning("engine %s is down: %s%s", self.name, why, self._way_out)
        self._changed()

    def _changed(self) -> None:
        """What it may have now follows from how it is."""
        if not self.usable:
            self.limit = 0
        elif self._breaker.closed:
            self.limit = self.capacity
        else:
            self.limit = min(self.capacity, self.in_flight + 1) if self._breaker.admits(perf_counter()) else 0
        self.on_change(self)
