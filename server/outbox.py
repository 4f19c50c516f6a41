"""Writes that go out together, at the end of the event loop's round.

A write wakes whoever reads it. One by one, each finds the other side asleep again; together they find it awake, which
costs the kernel half as much. No write is later for it than the callbacks of one round.
"""

from __future__ import annotations

import asyncio
from typing import Protocol


class Sink(Protocol):
    def write(self, data: bytes) -> None: ...

    def is_closing(self) -> bool: ...


class Outbox:
    """For a set of connections. Who closes one, and wants what was written before to arrive, flushes."""

    __slots__ = ("_waiting",)

    def __init__(self) -> None:
        self._waiting: list[tuple[Sink, bytes]] = []

    def write(self, sink: Sink, data: bytes) -> None:
        """Writes to one sink keep their order, if all of them are made here."""
        if not self._waiting:
            asyncio.get_running_loop().call_soon(self.flush)
        self._waiting.append((sink, data))

    def flush(self) -> None:
        """Once a round by itself."""
        waiting, self._waiting = self._waiting, []
        for sink, data in waiting:
            if not sink.is_closing():
                sink.write(data)
