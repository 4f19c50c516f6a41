"""An engine as the gateway sees it: a client, whether it is up, and how many calls it has."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable

from server.config import Engine as EngineConfig
from server.engines.client import EngineClient
from server.engines.connection import EngineLost, EngineSilent
from server.watchdog import Watchdog

PROBE_UP_S = 5.0
PROBE_DOWN_S = 0.5
PROBE_TIMEOUT_S = 5.0
FIRST_PROBE_S = 1.0  # how long a worker waits with its first client: it would have to refuse him
log = logging.getLogger("portico")


class Engine:
    """`up` is None until the first probe has an answer. `capacity` is how many calls it may have from here."""

    def __init__(
        self, name: str, config: EngineConfig, url: str, api_key: str | None, watchdog: Watchdog, capacity: int
    ) -> None:
        self.name = name
        self.capacity = capacity
        self.in_flight = 0
        self.up: bool | None = None
        self.client = EngineClient(config, url, api_key, watchdog)
        self._managed = config.managed is not None
        self.vllm = self._managed if config.vllm is None else config.vllm
        key = f"engines.{name}"
        self._way_out = "" if self._managed else f" ({url}; check {key}.url, {key}.api_key and {key}.health_path)"
        self._health_path = config.health_path or ("/health" if config.managed else None)
        self.on_change: Callable[[Engine], None] = lambda engine: None
        self.on_retry: Callable[[str], None] = lambda reason: None
        """Told when a call that it failed is tried again: `connect` or `closed`, see `portico_engine_retries_total`."""
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

    def suspect(self) -> None:
        """A call could not reach it: believe that until a probe says otherwise."""
        self._set(up=False, why="it cannot be connected to")
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
            self._set(up=why is None, why=why or "")
            self._known.set()
            try:
                async with asyncio.timeout(PROBE_UP_S if self.up else PROBE_DOWN_S):
                    await self._look.wait()
                await asyncio.sleep(PROBE_DOWN_S)
            except TimeoutError:
                pass

    def _set(self, *, up: bool, why: str) -> None:
        if up == self.up:
            return
        first, self.up = self.up is None, up
        if up:
            log.info("engine %s is up", self.name)
        elif not (first and self._managed):  # that one is still loading, and its supervisor says so
            log.warning("engine %s is down: %s%s", self.name, why, self._way_out)
        self.on_change(self)
