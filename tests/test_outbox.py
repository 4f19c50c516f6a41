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


async def busy() -> Outbox:
    """After a round with several writes."""
    outbox = Outbox()
    for _ in range(3):
        outbox.write(Wire(), b"x")
    await asyncio.sleep(0)
    return outbox


async def test_all_goes_out_in_its_order_at_the_end_of_the_round() -> None:
    outbox, one, other = await busy(), Wire(), Wire()
    outbox.write(one, b"1")
    outbox.write(other, b"2")
    outbox.write(one, b"3")
    assert one.written == other.written == []
    await asyncio.sleep(0)
    assert (one.written, other.written) == ([b"1", b"3"], [b"2"])
    outbox.write(one, b"4")
    assert one.written == [b"1", b"3"]
    await asyncio.sleep(0)
    assert one.written == [b"1", b"3", b"4"]


async def test_alone_in_its_round_a_write_goes_out_at_once() -> None:
    outbox, wire = Outbox(), Wire()
    for count in range(1, 4):
        outbox.write(wire, b"x")
        assert len(wire.written) == count
        await asyncio.sleep(0)


async def test_the_second_of_a_round_waits_and_so_does_the_first_of_the_next() -> None:
    outbox, wire = Outbox(), Wire()
    outbox.write(wire, b"1")
    outbox.write(wire, b"2")
    assert wire.written == [b"1"]
    await asyncio.sleep(0)
    outbox.write(wire, b"3")
    assert wire.written == [b"1", b"2"]
    await asyncio.sleep(0)  # there was but one in this round
    outbox.write(wire, b"4")
    assert wire.written == [b"1", b"2", b"3", b"4"]


async def test_before_a_connection_is_closed() -> None:
    outbox, one, other = await busy(), Wire(), Wire()
    outbox.write(one, b"last words")
    outbox.write(other, b"x")
    outbox.flush()
    assert one.written == [b"last words"]
    one.closing = True
    outbox.write(one, b"too late")
    outbox.write(other, b"y")
    await asyncio.sleep(0)
    outbox.write(one, b"too late, and alone")
    await asyncio.sleep(0)
    assert (one.written, other.written) == ([b"last words"], [b"x", b"y"])


async def test_what_is_written_while_it_flushes_goes_out_too() -> None:
    outbox, other = await busy(), Wire()

    class Echo(Wire):
        def write(self, data: bytes) -> None:
            super().write(data)
            outbox.write(other, data)

    outbox.write(Echo(), b"1")
    for _ in range(2):
        await asyncio.sleep(0)
    assert other.written == [b"1"]


async def test_a_connection_that_takes_nothing_more_takes_no_other_answer_along() -> None:
    outbox, other = await busy(), Wire()

    class Ended(Wire):
        def write(self, data: bytes) -> None:
            raise RuntimeError("Cannot call write() after write_eof()")

    outbox.write(Ended(), b"1")
    outbox.write(other, b"2")
    await asyncio.sleep(0)
    assert other.written == [b"2"]
