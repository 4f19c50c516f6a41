"""What the gateway tells of its calls, so that each becomes one record of the ledger."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path

from server.call import Call
from server.stores.base import Ledger
from server.usage import folder
from server.usage.delivery import Delivery, Pace
from server.usage.record import lost_record_of, record_of
from server.usage.spool import Spool

DEFAULT_PACE = Pace()
log = logging.getLogger("portico")


class UsageLog:
    """`spool` is a folder that all workers share. `lost` is told how many records could be kept nowhere."""

    def __init__(self, spool: Path, ledger: Ledger, lost: Callable[[int], None], pace: Pace = DEFAULT_PACE) -> None:
        self._folder = spool
        self._ledger = ledger
        self._lost = lost
        self._pace = pace
        self._spool: Spool = None  # type: ignore[assignment] # known from `start` on
        self._delivery: Delivery | None = None
        self._task: asyncio.Task[None] | None = None

    def began(self, call: Call) -> None:
        """It goes to an engine. Never raises."""
        try:
            self._spool.open(lost_record_of(call))
        except Exception:  # no bug here may end a call
            log.exception(
                "the beginning of a call was not spooled", extra={"request_id": call.id, "trace_id": call.trace_id}
            )

    def finished(self, call: Call) -> None:
        """It has ended, whether it began or not. Never raises."""
        try:
            self._spool.close(record_of(call))
        except Exception:
            log.exception("usage is lost", extra={"request_id": call.id, "trace_id": call.trace_id})
            self._lost(1)

    @property
    def depth(self) -> int:
        """Records that are not delivered."""
        return 0 if self._delivery is None else self._spool.waiting + self._delivery.waiting

    async def start(self) -> None:
        """Raises `SpoolError`."""
        own = folder.make(self._folder)
        self._spool = Spool(own, self._lost, self._wake)
        self._delivery = Delivery(self._ledger, self._spool, self._folder, self._lost, self._pace)
        self._task = asyncio.get_running_loop().create_task(self._delivery.run(), name="usage delivery")

    async def stop(self) -> None:
        """When all calls have ended: deliver what is left, for `Pace.flush` at most. The rest stays in the spool."""
        if self._task is None or self._delivery is None:
            return
        self._delivery.finish()
        _, late = await asyncio.wait([self._task], timeout=self._pace.flush)
        for task in late:
            task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        self._task = None
        try:
            self._delivery.leave()
            self._spool.leave()
        except OSError as error:
            log.error("the usage spool could not be tidied: %s", error.strerror)

    def _wake(self) -> None:
        if self._delivery is not None:
            self._delivery.wake()


def check(spool: Path) -> None:
    """Whether workers will be able to use it. Raises `SpoolError`, whose text is one line for a person."""
    own = folder.make(spool)
    try:
        own.remove()
    except OSError as error:
        raise folder.unusable(spool, error) from None
