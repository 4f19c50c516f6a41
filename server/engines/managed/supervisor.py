"""Keeps a managed engine running: start, health, restart with backoff, stop.

    starting --/health and our key answer 200--> ready --the engine ends--> down --backoff--> starting ...
    starting --the engine ends-------------------------------> failed --backoff--> starting ...

It never gives up by itself; whoever started it may, with `wait_ready` (which raises on the first failure) and `stop`.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from server.engines.managed import health, launch, logs
from server.engines.managed.backoff import Backoff
from server.engines.managed.errors import EngineSetupError
from server.engines.managed.explain import FIRST_PHASE, explain, phase
from server.engines.managed.install import Installed
from server.engines.managed.life import GRACE_S, LOG_MODE, Life
from server.engines.managed.plan import Plan
from server.engines.managed.state import EngineRecord, EngineState, State, process_began, remove_record, write_record

TICK_S = 0.5  # between looks at a starting engine
CHECK_EVERY_S = 5.0  # between looks at a ready one
SICK_S = 30.0  # a ready engine whose /health says no for so long is started again
SILENT_S = 180.0  # ... or does not answer at all: longer, since a busy CPU engine can be slow
STALLED_S = 1800.0  # a start without a word in the log for so long is begun again (downloads do write)


class EngineSupervisor:
    """Runs the engine of `plan`. `on_state` is called on every change and about twice a second during a start."""

    def __init__(
        self,
        plan: Plan,
        installed: Installed,
        log_path: Path,
        api_key: str,
        on_state: Callable[[EngineState], None],
        *,
        record_path: Path | None = None,
        backoff: Backoff | None = None,
        environ: Mapping[str, str] = os.environ,
    ) -> None:
        self._plan = plan
        self._installed = installed
        self._log_path = log_path
        self._api_key = api_key
        self._on_state = on_state
        self._record_path = record_path
        self._backoff = backoff or Backoff()
        self._environ = environ
        self._port = 0
        self._reserved: socket.socket | None = None
        self._life: Life | None = None
        self._task: asyncio.Task[None] | None = None
        self._settled = asyncio.Event()  # ready or failed for the first time
        self._since = time.monotonic()
        self._last = EngineState("stopped")

    @property
    def port(self) -> int:
        """Where the engine listens; known after `start`."""
        return self._port

    @property
    def base_url(self) -> str:
        return f"http://{launch.HOST}:{self._port}/v1"

    @property
    def state(self) -> EngineState:
        return self._last

    @property
    def engine_pid(self) -> int | None:
        """The API server's process, while there is one."""
        return self._life.engine_pid if self._life else None

    async def start(self) -> None:
        """Check port and log and begin; returns at once. Raises `EngineSetupError` where one of them cannot be had."""
        self._port = health.take_port(launch.HOST, self._plan.port)
        self._reserved = health.reserve_port(self._port)
        if self._reserved is None:
            raise EngineSetupError(
                f"Port {self._port} on {launch.HOST} belongs to the engine of another Portico: stop that one, or set "
                "engines.local.managed.port to another (PORTICO__ENGINES__LOCAL__MANAGED__PORT=0 takes a free one)."
            )
        try:
            self._log_path.parent.mkdir(parents=True, exist_ok=True)
            logs.rotate(self._log_path)
            self._log_path.touch(LOG_MODE)
        except OSError as error:
            raise EngineSetupError(
                f"{self._log_path}: the engine's log cannot be written: {error.strerror}; set PORTICO_HOME to another "
                "folder."
            ) from None
        self._task = asyncio.create_task(self._run())

    async def wait_ready(self) -> None:
        """Return when the engine is ready. Raises `EngineSetupError`, one line, if its first start fails."""
        await self._settled.wait()
        if self._task is not None and self._task.done() and not self._task.cancelled():
            self._task.result()  # a bug here: let it be seen
        if self._last.state != "ready":
            raise EngineSetupError(f"The engine did not start: {self._last.detail} (all of it in {self._log_path}).")

    async def stop(self) -> None:
        """End the engine and all its processes. Can be called at any time, and twice."""
        task, self._task = self._task, None
        if task is None:
            return
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        self._tell("stopped")
        if self._reserved is not None:
            self._reserved.close()
        if self._record_path is not None:
            remove_record(self._record_path)

    async def _run(self) -> None:
        try:
            while True:
                healthy_s, why = await self._live()
                wait = self._backoff.after(healthy_s)
                self._tell("down" if healthy_s else "failed", detail=why, retry_after_s=wait)
                self._settled.set()
                await asyncio.sleep(wait)
        finally:
            self._settled.set()
            await self._end_life()

    async def _live(self) -> tuple[float, str]:
        """Start the engine and follow it to its end: how many seconds it was healthy, and why it ended."""
        self._tell("starting", phase=FIRST_PHASE)
        log = logs.Follower(self._log_path)
        command = launch.command(self._plan, self._installed, self._port)
        environ = launch.environment(self._plan, self._api_key, self._environ)
        try:
            health.take_port(launch.HOST, self._port)  # what took it meanwhile must not be taken for the engine
        except EngineSetupError as error:
            return 0.0, str(error).rstrip(".")
        try:
            self._life = await Life.begin(command, environ, self._log_path)
        except OSError as error:
            return 0.0, f"{error.filename or 'the engine'} cannot be started: {error.strerror}"
        became_ready: float | None = None
        try:
            why = await self._until_ready(self._life, log)
            if why is None and not self._life.ended.is_set():
                became_ready = time.monotonic()
                self._tell("ready")
                self._settled.set()
                why = await self._while_ready(self._life)
        finally:
            healthy_s = max(0.001, time.monotonic() - became_ready) if became_ready else 0.0
            await self._end_life()
        log.lines()
        return healthy_s, why or explain(log.tail(), self._life.status)

    async def _until_ready(self, life: Life, log: logs.Follower) -> str | None:
        """Until /health answers, or the engine has ended; a reason where it is not worth waiting longer."""
        now_in, heard = FIRST_PHASE, time.monotonic()
        while not await _within(life.ended, TICK_S):
            lines = log.lines()
            heard = time.monotonic() if lines else heard
            now_in = next((found for line in reversed(lines) if (found := phase(line))), now_in)
            if await health.healthy(launch.HOST, self._port, timeout_s=2.0):
                if await health.ours(launch.HOST, self._port, self._api_key) is False:
                    return f"port {self._port} was taken by another engine meanwhile"
                return None
            if time.monotonic() - heard > STALLED_S:
                return f"nothing happened for {STALLED_S / 60:.0f} minutes while {now_in}"
            self._tell("starting", phase=now_in)
        return None

    async def _while_ready(self, life: Life) -> str | None:
        """Until the engine has ended or is sick for too long; then why."""
        well = time.monotonic()
        while not await _within(life.ended, CHECK_EVERY_S):
            answer = await health.healthy(launch.HOST, self._port)
            if answer:
                well = time.monotonic()
            elif time.monotonic() - well > (SILENT_S if answer is None else SICK_S):
                return "its /health does not answer" if answer is None else "its /health says it is broken"
        return None

    async def _end_life(self) -> None:
        """End what runs of the engine. Shielded: a cancelled `stop` must not leave it behind half-ended."""
        if self._life is None or self._life.ended.is_set():
            return
        with contextlib.suppress(TimeoutError):
            end = self._life.end(GRACE_S + 15.0, now=self._last.state != "ready")  # a start has no calls to finish
            await asyncio.shield(asyncio.ensure_future(end))

    def _tell(self, state: State, *, phase: str = "", detail: str = "", retry_after_s: float = 0.0) -> None:
        changed = state != self._last.state
        if changed:
            self._since = time.monotonic()
        self._last = EngineState(state, time.monotonic() - self._since, phase, detail, retry_after_s)
        if changed:
            self._write_record()
        self._on_state(self._last)

    def _write_record(self) -> None:
        if self._record_path is None:
            return
        record = EngineRecord(
            supervisor_pid=os.getpid(),
            supervisor_began=process_began(os.getpid()),
            engine_pid=self.engine_pid,
            port=self._port,
            model=self._plan.model_id,
            state=self._last.state,
            since=round(time.time(), 3),
            detail=self._last.detail,
            log=str(self._log_path),
        )
        write_record(self._record_path, record)


async def _within(event: asyncio.Event, seconds: float) -> bool:
    """Wait for the event for so long; whether it is set."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()
    return event.is_set()
