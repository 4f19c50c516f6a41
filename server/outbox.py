"""Writes that go out together, at the end of the event loop's round.

A write wakes whoever reads it. One by one, each finds the other side asleep again; together they find it awake, which
costs the kernel half as much. No write is later for it than the callbacks of one round. While there is but one write in
a round nothing is gained by that, and it goes out at once.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Protocol

log = logging.getLogger("portico")


class Sink(Protocol):
    def write(self, data: bytes) -> None: ...

    def is_closing(self) -> bool: ...


class Outbox:
    """For a set of connections. Who closes one, and wants what was written before to arrive, flushes."""

    __slots__ = ("_busy", "_in_round", "_waiting")

    def __init__(self) -> None:
        self._waiting: list[tuple[Sink, bytes]] = []
        self._in_round = False  # something was written in this round
        self._busy = False  # the last round with a write had several

    def write(self, sink: Sink, data: bytes) -> None:
        """Writes to one sink keep their order, if all of them are made here."""
        if not self._in_round:
            self._in_round = True
            asyncio.get_running_loop().call_soon(self._end_round)
            if not self._busy:
                if not sink.is_closing():
                    sink.write(data)
                return
        self._waiting.append((sink, data))

    def flush(self) -> None:
        """Write now what waits for the end of the round."""
        waiting, self._waiting = self._waiting, []
        for sink, data in waiting:
            try:
                if not sink.is_closing():
                    sink.write(data)
            except Exception:  # of one connection: what the others wait for goes out all the same
                log.exception("a connection takes no more")

    def _end_round(self) -> None:
        self._in_round = False
        self._busy = len(self._waiting) > (1 if self._busy else 0)
        self.flush()
