"""The responses that run in the background: those of this process, and those of processes that died.

A process has a lease on its own, and renews it. Who finds that a lease has run out takes the response over and says
truthfully that it failed: what its model had said is gone with the process.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from secrets import token_hex

from server.state.run import Run, with_status
from server.stores.base import StoreError
from server.stores.responses import ResponseStore

LEASE_S = 30.0
RENEW_S = 5.0  # so long a cancellation may take to be heard of by another process
OPEN_S = 5.0
LOOK_EVERY = 3  # renewals: for what others have left
GONE = {"code": "server_error", "message": "The server that ran this response has stopped. Send the request again."}
log = logging.getLogger("portico")


class Runs:
    """`lost` hears of each response whose end could not be stored."""

    def __init__(self, store: ResponseStore, lost: Callable[[], None], name: str) -> None:
        self.lost = lost
        self._store = store
        self._owner = f"{name}/{token_hex(8)}"
        self._runs: dict[str, Run] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._beat: asyncio.Task[None] | None = None
        self._down = False

    def __len__(self) -> int:
        return len(self._runs)

    async def begin(self, run: Run) -> None:
        """Raises `StoreError`, `TimeoutError`: it is not there then."""
        async with asyncio.timeout(OPEN_S):
            await run.open(self._owner, LEASE_S)
        self._runs[run.record.id] = run
        task = asyncio.get_running_loop().create_task(self._write(run), name="write a background response")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def stop_one(self, response_id: str) -> None:
        """If it runs here."""
        run = self._runs.pop(response_id, None)
        if run is not None:
            run.over()
            run.stop()

    async def start(self) -> None:
        self._beat = asyncio.get_running_loop().create_task(self._keep(), name="background responses")

    async def stop(self) -> None:
        """When the ends of all have been written: whoever ends their calls has done so before."""
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._beat is not None:
            self._beat.cancel()
            await asyncio.gather(self._beat, return_exceptions=True)

    async def _write(self, run: Run) -> None:
        try:
            await run.write()
        except Exception:  # a bug must not leave it running
            log.exception("a response in the background")
            run.stop()
        finally:
            self._runs.pop(run.record.id, None)

    async def _keep(self) -> None:
        beat = 0
        while True:
            try:
                async with asyncio.timeout(LEASE_S):
                    await self.renew()
                    if beat % LOOK_EVERY == 0:
                        await self.fail_left()
                self._down = False
            except (StoreError, TimeoutError) as error:
                if not self._down:
                    log.warning("background responses: their leases cannot be renewed for now: %s", error)
                self._down = True
            except Exception:  # a bug must not end it
                log.exception("background responses")
            beat += 1
            await asyncio.sleep(RENEW_S)

    async def renew(self) -> None:
        """And hear which of ours are to stop."""
        ours = tuple(self._runs)
        if not ours:
            return
        still = await self._store.renew_responses(self._owner, LEASE_S)
        for response_id in ours:
            if response_id not in still:
                self.stop_one(response_id)

    async def fail_left(self) -> None:
        """Those whose process is gone."""
        for left in await self._store.take_over(self._owner, LEASE_S):
            if left.id in self._runs:
                continue  # ours: the store was away for longer than the lease
            log.warning("a response in the background was left by a process that is gone: it has failed")
            await self._store.finish_response(with_status(left, "failed", error=GONE), ())
