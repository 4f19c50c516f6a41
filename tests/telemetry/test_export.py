"""Spans reach the receiver, in batches and once; what it does not take waits, within bounds."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest

from server.telemetry.export import BATCH, MOST_QUEUED, HttpReceiver, Pace, SpanExporter
from server.telemetry.spans import Span
from tests.behaviour.serving import eventually

QUICK = Pace(interval=0.001, longest_wait=0.002, flush=0.05)


def spans(*numbers: int) -> list[Span]:
    return [Span("a" * 32, f"{number:016x}", None, str(number), "server", 0, 1, {}, None) for number in numbers]


class Scripted:
    """A receiver that answers as it is told, then 200."""

    def __init__(self, *answers: int | Exception) -> None:
        self._answers = list(answers)
        self.bodies: list[list[str]] = []

    async def post(self, body: bytes) -> int:
        answer = self._answers.pop(0) if self._answers else 200
        if isinstance(answer, Exception):
            raise answer
        if answer == 200:
            self.bodies.append(body.decode().split())
        return answer


def names(batch: Sequence[Span]) -> bytes:
    return " ".join(span.name for span in batch).encode()


@asynccontextmanager
async def exporting(receiver: Scripted, became: Counter[str]) -> AsyncIterator[SpanExporter]:
    def heard(outcome: str, number: int) -> None:
        became[outcome] += number

    one = SpanExporter(names, receiver, heard, QUICK)
    await one.start()
    try:
        yield one
    finally:
        await one.stop()


def test_in_batches_and_in_order() -> None:
    async def run() -> None:
        receiver, became = Scripted(), Counter[str]()
        async with exporting(receiver, became) as one:
            one.add(spans(*range(BATCH + 3)))
            await eventually(lambda: became["exported"] == BATCH + 3)
            one.add(spans(7))
        assert [len(body) for body in receiver.bodies] == [BATCH, 3, 1], "the last one at the stop, at the latest"
        assert [*receiver.bodies[0], *receiver.bodies[1]] == [str(number) for number in range(BATCH + 3)]
        assert +became == {"exported": BATCH + 4}

    asyncio.run(run())


@pytest.mark.parametrize("trouble", [429, 503, ConnectionRefusedError("refused"), TimeoutError()])
def test_what_passes_by_itself_is_tried_again(trouble: int | Exception, caplog: pytest.LogCaptureFixture) -> None:
    async def run() -> None:
        receiver, became = Scripted(trouble, trouble), Counter[str]()
        async with exporting(receiver, became) as one:
            one.add(spans(1, 2))
            await eventually(lambda: became["exported"] == 2)
        assert receiver.bodies == [["1", "2"]]
        assert +became == {"exported": 2}

    asyncio.run(run())
    assert len(caplog.records) == 1, "one line, not one for each attempt"


def test_what_does_not_pass_is_dropped(caplog: pytest.LogCaptureFixture) -> None:
    async def run() -> None:
        receiver, became = Scripted(401, 401), Counter[str]()
        async with exporting(receiver, became) as one:
            for number in (1, 2, 3):
                one.add(spans(number))
                await eventually(lambda seen=number: became.total() == seen)
        assert receiver.bodies == [["3"]]
        assert became["refused"] == 2

    asyncio.run(run())
    assert [record.levelname for record in caplog.records] == ["ERROR"]
    assert "tracing.headers" in caplog.text


def test_the_queue_has_a_bound_and_the_stop_does_not_wait() -> None:
    async def run() -> None:
        receiver, became = Scripted(*[503] * 100_000), Counter[str]()
        async with exporting(receiver, became) as one:
            one.add(spans(*range(MOST_QUEUED - 1)))
            one.add(spans(1, 2))
            assert became["dropped"] == 2
        assert +became == {"dropped": MOST_QUEUED + 1}

    asyncio.run(run())


def test_a_bug_in_the_encoding_ends_nothing(caplog: pytest.LogCaptureFixture) -> None:
    async def run() -> None:
        became = Counter[str]()
        receiver = Scripted(ValueError("a bug"))
        async with exporting(receiver, became) as one:
            one.add(spans(1))
            await eventually(lambda: became["refused"] == 1)
            one.add(spans(2))
            await eventually(lambda: became["exported"] == 1)

    asyncio.run(run())
    assert "spans cannot be exported" in caplog.text


@pytest.mark.parametrize(("answer", "status"), [(b"HTTP/1.1 200 OK\r\n\r\n", 200), (b"HTTP/1.0 503 x\r\n", 503)])
def test_over_http(answer: bytes, status: int) -> None:
    seen: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(await reader.readuntil(b"\r\n\r\n"))
        seen.append(await reader.readexactly(4))
        writer.write(answer)
        await writer.drain()
        writer.close()

    async def run() -> None:
        async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            receiver = HttpReceiver(f"http://127.0.0.1:{port}/otlp/", {"authorization": "Bearer x"})
            assert await receiver.post(b"body") == status
        head = seen[0].decode().split("\r\n")
        assert head[0] == "POST /otlp/v1/traces HTTP/1.1"
        assert {"authorization: Bearer x", "content-length: 4", "content-type: application/x-protobuf"} <= set(head)
        assert seen[1] == b"body"

    asyncio.run(run())


@pytest.mark.parametrize("answer", [b"", b"SSH-2.0-x\r\n", b"HTTP/1.1 \r\n"])
def test_what_is_no_http(answer: bytes) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        writer.close()

    async def run() -> None:
        async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
            receiver = HttpReceiver(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", {})
            with pytest.raises(OSError):
                await receiver.post(b"body")

    asyncio.run(run())
