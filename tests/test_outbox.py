from __future__ import annotations

import asyncio

from server.outbox import Outbox


class Wire:
    def __init__(self) -> None:
        self.closing = False
        self.written: list[bytes] = []

    def write(self, data: bytes) -> None:
        self.written.append(data)

    def is_closing(self) -> bool:
        return self.closing


async def test_all_goes_out_in_its_order_at_the_end_of_the_round() -> None:
    outbox, one, other = Outbox(), Wire(), Wire()
    outbox.write(one, b"1")
    outbox.write(other, b"2")
    outbox.write(one, b"3")
    assert one.written == other.written == []
    await asyncio.sleep(0)
    assert (one.written, other.written) == ([b"1", b"3"], [b"2"])
    outbox.write(one, b"4")
    await asyncio.sleep(0)
    assert one.written == [b"1", b"3", b"4"]


async def test_before_a_connection_is_closed() -> None:
    outbox, one, other = Outbox(), Wire(), Wire()
    outbox.write(one, b"last words")
    outbox.write(other, b"x")
    outbox.flush()
    one.closing = True
    outbox.write(one, b"too late")
    outbox.write(other, b"y")
    await asyncio.sleep(0)
    assert (one.written, other.written) == ([b"last words"], [b"x", b"y"])


async def test_what_is_written_while_it_flushes_goes_out_too() -> None:
    outbox, other = Outbox(), Wire()

    class Echo(Wire):
        def write(self, data: bytes) -> None:
            super().write(data)
            outbox.write(other, data)

    outbox.write(Echo(), b"1")
    for _ in range(2):
        await asyncio.sleep(0)
    assert other.written == [b"1"]
