"""Runs batches in the background of a worker: claims them one by one, and goes on with those that others have left."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets

from server.batches.hold import Hold, Lost
from server.batches.run import Run
from server.batches.tools import Tools
from server.errors import StoreUnavailable
from server.stores.base import StoreError
from server.stores.batches import BatchRecord

log = logging.getLogger("portico")


class BatchRunner:
    """`start` and `stop` are awaited by the app. At its end lines in flight have `grace_s`."""

    def __init__(self, tools: Tools, grace_s: float) -> None:
        self._tools = tools
        self._grace_s = grace_s
        self._owner = secrets.token_hex(12)
        self._runs: dict[asyncio.Task[None], Run] = {}
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def wake(self) -> None:
        """There is a new batch."""
        self._wake.set()

    async def start(self) -> None:
        if self._tools.settings.running:
            self._task = asyncio.get_running_loop().create_task(self._claim(), name="claim batches")

    async def stop(self) -> None:
        """What is not done is another process's, from now on."""
        if self._task is None:
            return
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        for run in self._runs.values():
            run.leave()
        for grace_s in (self._grace_s, self._tools.pace.lease):
            if self._runs:
                await asyncio.wait(self._runs, timeout=grace_s)
            for run in self._runs.values():
                run.break_off()
        for task in self._runs:
            task.cancel()
        await asyncio.gather(*self._runs, return_exceptions=True)

    async def _claim(self) -> None:
        tools, reached = self._tools, True
        while True:
            self._wake.clear()
            try:
                while len(self._runs) < tools.settings.running:
                    record = await tools.store.claim_batch(self._owner, tools.pace.lease)
                    if record is None:
                        break
                    self._begin(record)
                reached = True
            except StoreError as error:
                if reached:
                    log.warning("batches: none is begun for now: %s", error)
                reached = False
            except Exception:  # a bug must not end it
                log.exception("claiming batches failed")
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(tools.pace.look):
                    await self._wake.wait()

    def _begin(self, record: BatchRecord) -> None:
        hold = Hold(self._tools, record, self._owner)
        run = Run(self._tools, hold)
        task = asyncio.get_running_loop().create_task(self._run(run, hold), name=f"run {record.id}")
        self._runs[task] = run
        task.add_done_callback(self._ended)
        self._count()

    def _ended(self, task: asyncio.Task[None]) -> None:
        del self._runs[task]
        self._count()
        self.wake()  # for the next one

    def _count(self) -> None:
        self._tools.counted.running(len(self._runs))
        for run in self._runs.values():
            run.peers = len(self._runs)
            run.crowded = len(self._runs) >= self._tools.settings.running

    async def _run(self, run: Run, hold: Hold) -> None:
        """What goes wrong leaves the batch until the hold on it has run out; then somebody goes on."""
        try:
            async with asyncio.TaskGroup() as group:
                beat = group.create_task(hold.beat(run.note, run.heard), name="keep a batch")
                await run.work()
                beat.cancel()
        except* Lost:
            log.warning("batch %s: the hold on it was lost; it is gone on with later", hold.record.id)
        except* (StoreError, StoreUnavailable) as errors:
            log.warning("batch %s is gone on with later: %s", hold.record.id, errors.exceptions[0])
        except* Exception:
            log.exception("batch %s failed; it is gone on with later", hold.record.id)
