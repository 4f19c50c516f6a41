"""The simulated engine and the load generator, talking to each other."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import pytest
import uvloop

from bench.answers import Stream, Whole
from bench.client import Client, Fault, Target
from bench.load import chat_body, percentile, run_streams, run_unary
from bench.sim_engine import Engine, Options, start

FAST = Options(tokens=20, chunks=12, interval_ms=0)


T = TypeVar("T")


def with_engine(options: Options, use: Callable[[Target, Engine], Awaitable[T]]) -> T:
    async def main() -> T:
        server, engine = await start(options)
        async with server:
            port = server.sockets[0].getsockname()[1]
            return await use(Target(f"http://127.0.0.1:{port}", "sk-test"), engine)

    return uvloop.run(main())


async def raw(target: Target, request: bytes) -> bytes:
    """Send bytes, read to the end of the connection."""
    reader, writer = await asyncio.open_connection(*target.address)
    writer.write(request)
    answer = await reader.read()
    writer.close()
    return answer


def post(body: dict[str, Any], *headers: str) -> bytes:
    data = json.dumps(body).encode()
    lines = ["POST /v1/chat/completions HTTP/1.1", "host: x", f"content-length: {len(data)}", *headers]
    return "\r\n".join([*lines, "", ""]).encode() + data


def events(answer: bytes) -> list[Any]:
    """The chunks of a raw streamed answer, [DONE] as a string."""
    lines = [line[6:] for line in answer.split(b"\r\n\r\n", 1)[1].decode().splitlines() if line.startswith("data: ")]
    return [line if line == "[DONE]" else json.loads(line) for line in lines]


CHAT: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
CLOSE = "connection: close"


def test_every_unary_request_is_served_and_counted_once() -> None:
    async def use(target: Target, engine: Engine) -> None:
        run = await run_unary(target, chat_body("m", 1000, stream=False), clients=4, seconds=0.2, tokens=20)
        assert run.requests == engine.stats.served >= 4
        assert run.tokens == run.requests * 20
        assert not run.errors and engine.stats.aborted == engine.stats.open == 0
        assert engine.stats.connections == 4

    with_engine(FAST, use)


def test_every_chunk_of_every_stream_is_counted() -> None:
    async def use(target: Target, engine: Engine) -> None:
        run = await run_streams(target, chat_body("m", 1000, stream=True), 5, repeat=3, chunks=12)
        assert (run.streams, run.chunks, run.tokens) == (15, 180, 180)
        assert engine.stats.chunks == 180
        assert len(run.ttft) == 15 and len(run.gaps) == 15 * 11
        assert not run.errors

    with_engine(FAST, use)


def test_an_unexpected_length_is_an_error_and_not_timed() -> None:
    async def use(target: Target, engine: Engine) -> None:
        streams = await run_streams(target, chat_body("m", 5, stream=True), 2, chunks=12)
        assert streams.errors == {"stream of 5 chunks, not 12": 2}
        assert not streams.ttft
        unary = await run_unary(target, chat_body("m", 5, stream=False), clients=1, seconds=0.05, tokens=20)
        assert set(unary.errors) == {"answer of 5 tokens, not 20"} and not unary.requests

    with_engine(FAST, use)


def test_a_stream_that_the_server_cuts_is_reported() -> None:
    async def cut(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        chunk = b'data: {"choices":[{"delta":{"content":"a"}}]}\n\n'
        writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n%x\r\n%b\r\n" % (len(chunk), chunk))
        await writer.drain()
        writer.close()

    async def main() -> None:
        async with await asyncio.start_server(cut, "127.0.0.1", 0) as server:
            target = Target(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", "k")
            run = await run_streams(target, chat_body("m", 9, stream=True), 3, chunks=9)
        assert run.errors == {"connection closed in mid-answer": 3}
        assert (run.streams, run.chunks) == (0, 3)

    uvloop.run(main())


def test_a_stream_open_too_long_is_cut_and_the_engine_sees_it() -> None:
    async def use(target: Target, engine: Engine) -> None:
        run = await run_streams(target, chat_body("m", 1000, stream=True), 3, limit_s=0.1)
        assert run.errors == {"unfinished": 3}
        await asyncio.sleep(0.05)
        assert (engine.stats.aborted, engine.stats.open, engine.stats.served) == (3, 0, 0)
        sent = engine.stats.chunks
        await asyncio.sleep(0.05)
        assert engine.stats.chunks == sent < 3 * 12

    with_engine(Options(chunks=12, interval_ms=30), use)


def test_an_error_status_is_counted_with_its_body() -> None:
    async def use(target: Target, engine: Engine) -> None:
        run = await run_unary(target, b'{"model": 5}', clients=1, seconds=0.05)
        (reason,) = run.errors
        assert reason.startswith("status 400") and "BadRequestError" in reason

    with_engine(FAST, use)


def test_a_target_that_is_not_there() -> None:
    async def main() -> None:
        server, _ = await start(FAST)
        port = server.sockets[0].getsockname()[1]
        server.close()
        await server.wait_closed()
        run = await run_unary(Target(f"http://127.0.0.1:{port}", "k"), b"{}", clients=1, seconds=0.05)
        assert set(run.errors) == {"cannot connect: Connection refused"}

    uvloop.run(main())


def test_the_stream_has_vllms_shape() -> None:
    async def use(target: Target, engine: Engine) -> list[Any]:
        body = {**CHAT, "stream": True, "stream_options": {"include_usage": True}}
        return events(await raw(target, post(body, CLOSE, "x-sim-chunks: 10")))

    first, *chunks, finish, usage, done = with_engine(FAST, use)
    assert first["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    assert [list(chunk["choices"][0]["delta"]) for chunk in chunks] == [["reasoning"]] * 2 + [["content"]] * 8
    assert finish["choices"][0]["delta"] == {} and finish["choices"][0]["finish_reason"] == "stop"
    assert usage["choices"] == [] and usage["usage"]["completion_tokens"] == 10
    assert done == "[DONE]"
    assert len({chunk["id"] for chunk in (first, *chunks, finish, usage)}) == 1


def test_a_stream_cut_by_max_tokens_has_its_reason_on_the_last_text_and_no_usage_unasked() -> None:
    async def use(target: Target, engine: Engine) -> list[Any]:
        return events(await raw(target, post({**CHAT, "stream": True, "max_tokens": 2}, CLOSE)))

    _, _, last, done = with_engine(FAST, use)
    assert last["choices"][0]["delta"] and last["choices"][0]["finish_reason"] == "length"
    assert done == "[DONE]"


def test_keep_alive_serves_requests_in_order_and_close_closes() -> None:
    async def use(target: Target, engine: Engine) -> bytes:
        get = b"GET /v1/models HTTP/1.1\r\nhost: x\r\n\r\n"
        return await raw(target, post({**CHAT, "max_tokens": 3}) + get + post({**CHAT, "max_tokens": 4}, CLOSE))

    answer = with_engine(FAST, use)
    assert answer.count(b"HTTP/1.1 200 OK") == 3
    assert answer.index(b'"completion_tokens":3') < answer.index(b'"max_model_len"')
    assert answer.index(b'"max_model_len"') < answer.index(b'"completion_tokens":4')
    assert answer.count(b"connection: close") == 1


@pytest.mark.parametrize("path", ["/health", "/v1/models", "/metrics", "/stats", "/server_info", "/get_model_info"])
def test_what_routers_probe(path: str) -> None:
    async def use(target: Target, engine: Engine) -> bytes:
        return await raw(target, f"GET {path} HTTP/1.1\r\nhost: x\r\n{CLOSE}\r\n\r\n".encode())

    assert with_engine(FAST, use).startswith(b"HTTP/1.1 200 OK")


def test_an_unknown_path_is_404_and_bad_http_is_400() -> None:
    async def use(target: Target, engine: Engine) -> tuple[bytes, bytes]:
        unknown = await raw(target, f"GET /nope HTTP/1.1\r\nhost: x\r\n{CLOSE}\r\n\r\n".encode())
        return unknown, await raw(target, b"nonsense\r\n\r\n")

    unknown, bad = with_engine(FAST, use)
    assert unknown.startswith(b"HTTP/1.1 404")
    assert bad.startswith(b"HTTP/1.1 400")


def test_a_client_that_does_not_read_stops_the_engine() -> None:
    async def use(target: Target, engine: Engine) -> None:
        reader, writer = await asyncio.open_connection(*target.address, limit=1024)
        writer.write(post({**CHAT, "stream": True}, CLOSE))
        stuck = -1
        while engine.stats.chunks != stuck:  # until the socket's buffers are full
            stuck = engine.stats.chunks
            await asyncio.sleep(0.3)
        assert 0 < stuck < 100_000
        while await reader.read(1 << 20):
            pass
        assert engine.stats.chunks == 100_000 and engine.stats.served == 1
        writer.close()

    with_engine(Options(chunks=100_000, interval_ms=0), use)


def test_the_client_opens_a_new_connection_after_a_close() -> None:
    async def use(target: Target, engine: Engine) -> int:
        client, body = Client(target), chat_body("m", 3, stream=False)
        closing = target.request(body).replace(b"accept: application/json", b"connection: close", 1)
        for payload in (closing, target.request(body)):
            await client.ask(payload, Whole(3))
        client.close()
        return engine.stats.connections

    assert with_engine(FAST, use) == 2


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b'data: {"choices":[]}\n\n', "stream without [DONE]"),
        (b"data: [DONE]\n\n", "stream without finish_reason"),
        (b"data: {nonsense\n\n", "malformed chunk"),
        (b"event: error\n\n", "malformed event"),
        (b'data: {"error":{"message":"no"}}\n\n', 'error event: {"message":"no"}'),
        (b'data: {"choices":[{"finish_reason":"stop"}]}\n\ndata: [DONE]\n\ndata: {', "stream ends within an event"),
    ],
)
def test_faults_of_a_stream(data: bytes, reason: str) -> None:
    stream = Stream()
    with pytest.raises(Fault) as caught:
        stream.feed(data, 0.0)
        stream.finish()
    assert str(caught.value) == reason


def test_a_stream_in_any_pieces_is_read_alike() -> None:
    text = b': keep-alive\n\ndata: {"choices":[{"delta":{"content":"\xe5\xa5\xbd"}}]}\n\n'
    text += b'data: {"choices":[{"delta":{"reasoning_content":"b"},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'
    for size in range(1, len(text)):
        stream = Stream(chunks=2)
        for at in range(0, len(text), size):
            stream.feed(text[at : at + size], float(at))
        stream.finish()
        assert len(stream.gaps) == 1


def test_percentile() -> None:
    values = [float(i) for i in range(100)]
    assert (percentile(values, 50), percentile(values, 99), percentile([1.0], 99)) == (50.0, 99.0, 1.0)
    assert percentile([], 50) != percentile([], 50)  # NaN
