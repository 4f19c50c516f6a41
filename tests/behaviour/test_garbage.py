"""A request must be gone when it is answered: what hangs in a reference cycle waits for the collector, and costs it."""

from __future__ import annotations

import gc
from typing import Any

from tests.behaviour.engine_double import EngineDouble
from tests.behaviour.serving import CHAT, MESSAGES, MODEL, portico
from tests.behaviour.wire import Wire

REQUESTS = 5
KINDS = ("Inbound", "Call", "Trip", "Exchange", "Meter", "StreamAnswer")


def alive(kind: str) -> int:
    return sum(type(one).__name__ == kind for one in gc.get_objects())


async def test_requests_leave_no_cycle() -> None:
    bodies: list[dict[str, Any]] = [
        {"model": MODEL, "messages": MESSAGES, "stream": stream} for stream in (False, True)
    ]
    async with EngineDouble() as engine, portico(engine) as gate, Wire(gate.port) as wire:
        gc.collect()
        before = {kind: alive(kind) for kind in KINDS}  # other tests may keep some
        gc.disable()
        try:
            for body in bodies * REQUESTS:
                await wire.request("POST", CHAT, body)
                assert (await wire.reply()).status == 200
            left = {kind: alive(kind) - before[kind] for kind in KINDS}
        finally:
            gc.enable()
        assert left.pop("Inbound") <= 1  # the connection keeps its latest
        assert set(left.values()) == {0}, left
