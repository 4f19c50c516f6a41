"""Notices that a client has left, or does not read, while its call is open."""

from __future__ import annotations

import asyncio

from server.api.http import Receive
from server.call import Call


class ClientWatch:
    """Ticked by the watchdog. A task that waits for the disconnect is made only for calls that last: most do not."""

    def __init__(self, call: Call, receive: Receive, stall_s: float) -> None:
        self._call = call
        self._receive = receive
        self._stall_s = stall_s
        self._listener: asyncio.Task[None] | None = None
        self.sending_since: float | None = None

    def tick(self, now: float) -> None:
        if self._listener is None:
            self._listener = asyncio.get_running_loop().create_task(self._listen(), name="client watch")
        if self.sending_since is not None and now - self.sending_since > self._stall_s:
            self._call.abort(None)

    async def stop(self) -> None:
        if self._listener is not None:
            self._listener.cancel()
            await asyncio.gather(self._listener, return_exceptions=True)

    async def _listen(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self._call.abort(None)
