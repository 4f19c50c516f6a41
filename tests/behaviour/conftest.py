"""`shared` is one Portico for the many tests that only ask and look."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine, Iterator
from contextlib import AsyncExitStack
from typing import Any, TypeVar

import pytest
import uvloop

from tests.behaviour.engine_double import EngineDouble
from tests.behaviour.serving import Gate, portico
from tests.behaviour.wire import Reply
from tests.conftest import LONGEST_TEST_S

T = TypeVar("T")


class Shared:
    """An engine and a Portico in a thread of their own, spoken to from plain tests."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self.engine = EngineDouble()
        self.gate: Gate = None  # type: ignore[assignment]

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(LONGEST_TEST_S)

    def chat(self, **body: Any) -> Reply:
        return self.run(self.gate.chat(**body))

    def complete(self, **body: Any) -> Reply:
        return self.run(self.gate.complete(**body))

    def request(self, *arguments: Any, **headers: Any) -> Reply:
        return self.run(self.gate.request(*arguments, **headers))

    async def start(self, **sections: Any) -> None:
        self._stack = AsyncExitStack()
        await self._stack.enter_async_context(self.engine)
        self.gate = await self._stack.enter_async_context(portico(self.engine, **sections))

    async def stop(self) -> None:
        await self._stack.aclose()


@pytest.fixture(scope="module")
def shared() -> Iterator[Shared]:
    loop = uvloop.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    one = Shared(loop)
    one.run(one.start(model={"extra_fields": ["top_k"]}, server={"max_body_bytes": 262144, "max_json_depth": 16}))
    yield one
    one.run(one.stop())
    loop.call_soon_threadsafe(loop.stop)
    thread.join(5)
    loop.close()
