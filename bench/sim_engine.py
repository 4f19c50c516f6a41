"""The simulated engine: canned chat completions on a bare asyncio protocol, far faster than any gateway.

    python -m bench.sim_engine --port 8100 [--tokens 100] [--chunks 200] [--interval-ms 20] [--model gpt-oss-20b]
        [--seqs 64 --prefill-per-s 20000]

A request may bound its answer with `max_tokens` (or `max_completion_tokens`); the headers `x-sim-chunks`,
`x-sim-interval-ms` and `x-sim-delay-ms` set the size, the pace and the wait before the first byte for one request.
With `--seqs` it computes so many answers at once and keeps the others in a queue of its own, first come first served;
with `--prefill-per-s` a prompt (a token for every 4 bytes of the body) takes its time and is told in the usage.
GET /stats counts what was served and what was aborted by a client that left.
"""

from __future__ import annotations

import argparse
import asyncio
import functools
import itertools
import time
from collections import deque
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import cast

import httptools
import msgspec
import uvloop

from bench import canned

_JSON = "application/json"
REASONS = {200: b"OK", 400: b"Bad Request", 404: b"Not Found"}


class StreamOptions(msgspec.Struct):
    include_usage: bool | None = None


class ChatRequest(msgspec.Struct):
    model: str
    messages: list[msgspec.Raw]
    stream: bool | None = None
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    stream_options: StreamOptions | None = None


_decode_chat = msgspec.json.Decoder(ChatRequest).decode


@dataclass(frozen=True)
class Options:
    """How the engine answers where a request does not say: sizes in tokens (one per chunk), times in milliseconds."""

    model: str = "gpt-oss-20b"
    tokens: int = 100
    chunks: int = 200
    interval_ms: float = 20.0
    delay_ms: float = 0.0
    seqs: int = 0  # 0: all at once
    prefill_per_s: float = 0.0  # tokens; 0: at once, and every prompt is told to be `canned.PROMPT_TOKENS` long


@dataclass
class Stats:
    """Counts since the start: whole answers, answers that a client left, chunks with text, requests by path."""

    served: int = 0
    aborted: int = 0
    open: int = 0
    chunks: int = 0
    connections: int = 0
    paths: dict[str, int] = field(default_factory=dict[str, int])


@dataclass
class Request:
    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    keep_alive: bool

    def number(self, header: str, default: float) -> float:
        """A header's number. Raises ValueError."""
        return float(self.headers.get(header, default))


class Engine:
    """What all connections share."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.stats = Stats()
        self.started = int(time.time())
        self.computing = 0
        self._queue: deque[Answer] = deque()
        self._ids = itertools.count(1)
        self._fixed = self._fixed_answers(options.model, self.started)

    def admit(self, answer: Answer) -> None:
        """Begin it, or queue it until there is room."""
        if not self.options.seqs or self.computing < self.options.seqs:
            self.computing += 1
            answer.begin()
        else:
            self._queue.append(answer)

    def leave(self, answer: Answer) -> None:
        """It has ended, or its client has gone."""
        if not answer.begun:
            self._queue.remove(answer)
            return
        self.computing -= 1
        if self._queue:
            self.computing += 1
            self._queue.popleft().begin()

    def new_id(self) -> bytes:
        return b"chatcmpl-%016x" % (self.started << 24 | next(self._ids))

    def plain(self, path: str) -> tuple[int, str, bytes]:
        """Status, content type and body of everything that is not a chat completion."""
        if path == "/stats":
            return 200, _JSON, msgspec.json.encode(asdict(self.stats))
        if path == "/metrics":
            text = f"vllm:num_requests_running {self.stats.open}\nvllm:num_requests_waiting 0\n"
            return 200, "text/plain; version=0.0.4; charset=utf-8", text.encode()
        if path == "/health":
            return 200, "", b""
        if path in self._fixed:
            return 200, _JSON, self._fixed[path]
        return 404, _JSON, b'{"detail":"Not Found"}'

    @staticmethod
    def _fixed_answers(model: str, started: int) -> dict[str, bytes]:
        # vLLM has no server_info nor model_info; sglang-router asks its workers for them before it routes to them.
        server = msgspec.json.encode({"served_model_name": model, "dp_size": 1})
        about = msgspec.json.encode({"model_path": model, "is_generation": True})
        return {
            "/v1/models": canned.models(model, started),
            "/version": b'{"version":"0.32.0"}',
            **dict.fromkeys(("/server_info", "/get_server_info"), server),
            **dict.fromkeys(("/model_info", "/get_model_info"), about),
        }


class Answer:
    """One chat completion being sent; a chunk per timer tick, each at its own time so that delays do not add up."""

    def __init__(self, connection: Connection, request: Request, chat: ChatRequest) -> None:
        self._connection = connection
        self._engine = engine = connection.engine
        self._loop = asyncio.get_running_loop()
        self._keep_alive = request.keep_alive
        options = engine.options
        size = int(request.number("x-sim-chunks", options.chunks if chat.stream else options.tokens))
        bound = chat.max_completion_tokens or chat.max_tokens or size
        self._tokens = max(1, min(size, bound))
        self._finish = "length" if bound < size else "stop"
        self._interval = request.number("x-sim-interval-ms", options.interval_ms) / 1000
        self._usage = bool(chat.stream_options and chat.stream_options.include_usage)
        self._identity = (engine.new_id(), int(time.time()), chat.model)
        self._next = 0
        self._starved = False
        self._delay = request.number("x-sim-delay-ms", options.delay_ms) / 1000
        self._prompt = canned.PROMPT_TOKENS
        if options.prefill_per_s:
            self._prompt = len(request.body) // 4
            self._delay += self._prompt / options.prefill_per_s
        self.begun = False
        self._streams = bool(chat.stream)
        self._timer: asyncio.Handle
        if chat.stream:
            self._rests = canned.stream_rests(self._tokens, self._finish, self._usage)
            self._front = canned.chunk_front(*self._identity)
            connection.write(_head(200, "text/event-stream; charset=utf-8", None, self._keep_alive))
        engine.admit(self)

    def begin(self) -> None:
        self.begun = True
        self._due = self._loop.time() + self._delay
        self._schedule(self._tick if self._streams else self._send_whole)

    def _schedule(self, step: Callable[[], None]) -> None:
        late = self._due <= self._loop.time()
        self._timer = self._loop.call_soon(step) if late else self._loop.call_at(self._due, step)

    def _send_whole(self) -> None:
        body = canned.unary_front(*self._identity) + canned.unary_rest(self._tokens, self._finish, self._prompt)
        self._connection.write(_head(200, _JSON, len(body), self._keep_alive) + body)
        self._connection.finish(self._keep_alive)

    def _tick(self) -> None:
        connection, number = self._connection, self._next
        if connection.paused:
            self._starved = True
            return
        out = b"" if number else _framed(self._front + canned.ROLE_REST)
        out += _framed(self._front + self._rests[number])
        self._next = number + 1
        if number < self._tokens:
            self._engine.stats.chunks += 1
        if self._next < len(self._rests):
            connection.write(out)
            self._due += self._interval
            self._schedule(self._tick)
            return
        if self._usage:
            out += _framed(self._front + canned.usage_rest(self._tokens, self._prompt))
        connection.write(out + _framed(canned.DONE) + b"0\r\n\r\n")
        connection.finish(self._keep_alive)

    def resume(self) -> None:
        """The client reads again."""
        if self._starved:
            self._starved = False
            self._schedule(self._tick)

    def abort(self) -> None:
        if self.begun:
            self._timer.cancel()


def _framed(data: bytes) -> bytes:
    """One chunk of HTTP's chunked transfer coding, as uvicorn frames each part of a body."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def _head(status: int, content_type: str, length: int | None, keep_alive: bool) -> bytes:
    """A response head as uvicorn and vLLM's middleware write it; `length` None is a chunked body."""
    kind = b"content-type: %b\r\n" % content_type.encode() if content_type else b""
    close = b"" if keep_alive else b"connection: close\r\n"
    size = b"" if length is None else b"content-length: %d\r\n" % length
    chunked = b"transfer-encoding: chunked\r\n" if length is None else b""
    return b"HTTP/1.1 %d %b\r\ndate: %b\r\nserver: uvicorn\r\n%b%bvary: Origin\r\n%b%b\r\n" % (
        status,
        REASONS[status],
        _date(int(time.time())),
        size,
        kind,
        close,
        chunked,
    )


@functools.lru_cache(maxsize=1)
def _date(now: int) -> bytes:
    return time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(now)).encode()


class Connection(asyncio.Protocol):
    """One client: requests are answered one after another, in order."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.paused = False
        self._parser = httptools.HttpRequestParser(self)
        self._waiting: deque[Request] = deque()
        self._answer: Answer | None = None
        self._busy = False

    # asyncio's side
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self.write = self._transport.write
        self.engine.stats.connections += 1

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            body = canned.error(400, "Invalid HTTP request received.")
            self.write(_head(400, _JSON, len(body), keep_alive=False) + body)
            self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self._waiting.clear()
        if self._answer:
            self._answer.abort()
            self.engine.leave(self._answer)
            self._answer = None
            self.engine.stats.aborted += 1
            self.engine.stats.open -= 1

    def pause_writing(self) -> None:
        self.paused = True

    def resume_writing(self) -> None:
        self.paused = False
        if self._answer:
            self._answer.resume()

    # the parser's side
    def on_message_begin(self) -> None:
        self._url = b""
        self._headers: dict[str, str] = {}
        self._body = b""

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_body(self, body: bytes) -> None:
        self._body += body

    def on_message_complete(self) -> None:
        path = httptools.parse_url(self._url).path.decode()
        method = self._parser.get_method().decode()
        self._waiting.append(Request(method, path, self._headers, self._body, self._parser.should_keep_alive()))
        if self._answer is None:
            self._serve_next()

    # ours
    def _serve_next(self) -> None:
        while self._waiting and self._answer is None:
            request = self._waiting.popleft()
            paths = self.engine.stats.paths
            paths[request.path] = paths.get(request.path, 0) + 1
            if request.method == "POST" and request.path == "/v1/chat/completions":
                self._chat(request)
            else:
                self._whole(request, *self.engine.plain(request.path))

    def _chat(self, request: Request) -> None:
        try:
            chat = _decode_chat(request.body)
            self._answer = Answer(self, request, chat)
        except (msgspec.DecodeError, ValueError) as error:
            self._whole(request, 400, _JSON, canned.error(400, str(error)))
            return
        self.engine.stats.open += 1

    def _whole(self, request: Request, status: int, content_type: str, body: bytes) -> None:
        self.write(_head(status, content_type, len(body), request.keep_alive) + body)
        if not request.keep_alive:
            self._transport.close()

    def finish(self, keep_alive: bool) -> None:
        """The answer is written whole."""
        if self._answer:
            self.engine.leave(self._answer)
        self._answer = None
        self.engine.stats.served += 1
        self.engine.stats.open -= 1
        if keep_alive:
            self._serve_next()
        else:
            self._transport.close()


async def start(options: Options, port: int = 0, host: str = "127.0.0.1") -> tuple[asyncio.Server, Engine]:
    """Port 0 takes a free one."""
    engine = Engine(options)
    server = await asyncio.get_running_loop().create_server(lambda: Connection(engine), host, port, backlog=4096)
    return server, engine


async def _serve(options: Options, port: int, host: str) -> None:
    server, _ = await start(options, port, host)
    async with server:
        await server.serve_forever()


def main() -> None:
    default = Options()
    parser = argparse.ArgumentParser(prog="python -m bench.sim_engine", description="A simulated vLLM engine.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8100)
    parser.add_argument("--model", default=default.model)
    parser.add_argument("--tokens", type=int, default=default.tokens, help="tokens of an unstreamed answer")
    parser.add_argument("--chunks", type=int, default=default.chunks, help="chunks with text of a streamed answer")
    parser.add_argument("--interval-ms", type=float, default=default.interval_ms, help="time between chunks")
    parser.add_argument("--delay-ms", type=float, default=default.delay_ms, help="time before the first byte")
    parser.add_argument("--seqs", type=int, default=default.seqs, help="answers computed at once; 0: all")
    parser.add_argument("--prefill-per-s", type=float, default=default.prefill_per_s, help="tokens of a prompt")
    args = vars(parser.parse_args())
    uvloop.run(_serve(port=args.pop("port"), host=args.pop("host"), options=Options(**args)))


if __name__ == "__main__":
    main()
