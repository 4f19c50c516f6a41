"""Spans on their way to a receiver: in batches, from a bounded queue, beside all calls."""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Protocol
from urllib.parse import urlsplit

from server.backoff import doubled
from server.telemetry.spans import Span

MOST_QUEUED = 8192
BATCH = 256  # spans; to encode them takes some ten milliseconds, of a thread and not of the event loop
TIMEOUT_S = 10.0
AGAIN = (429, 502, 503, 504)  # "OTLP/HTTP response", retryable
log = logging.getLogger("portico")


class Receiver(Protocol):
    async def post(self, body: bytes) -> int:
        """The status of the answer. Raises OSError, TimeoutError."""
        ...


class HttpReceiver:
    """An OTLP/HTTP receiver. A connection for each batch: there is one a second at most."""

    def __init__(self, url: str, headers: Mapping[str, str]) -> None:
        """`url`: without /v1/traces."""
        parts = urlsplit(url.rstrip("/"))
        self._host = parts.hostname or ""
        self._tls = ssl.create_default_context() if parts.scheme == "https" else None
        self._port = parts.port or (443 if self._tls else 80)
        more = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        self._head = (
            f"POST {parts.path}/v1/traces HTTP/1.1\r\nhost: {parts.netloc}\r\ncontent-type: application/x-protobuf\r\n"
            f"connection: close\r\n{more}content-length: "
        )

    async def post(self, body: bytes) -> int:
        async with asyncio.timeout(TIMEOUT_S):
            reader, writer = await asyncio.open_connection(self._host, self._port, ssl=self._tls)
            try:
                writer.write(f"{self._head}{len(body)}\r\n\r\n".encode() + body)
                await writer.drain()
                return _status(await reader.readline())
            finally:
                writer.transport.abort()


def _status(line: bytes) -> int:
    words = line.split()
    if len(words) < 2 or not line.startswith(b"HTTP/1.") or not words[1].isdigit():
        raise ConnectionError("no answer in HTTP")
    return int(words[1])


@dataclass(frozen=True)
class Pace:
    """All in seconds."""

    interval: float = 1.0
    longest_wait: float = 30.0  # between two attempts while the receiver is down
    flush: float = 5.0  # what stopping waits for it

    def wait(self, failures: int) -> float:
        return doubled(self.interval, failures, self.longest_wait)


DEFAULT_PACE = Pace()


class SpanExporter:
    """`add` from anywhere in the event loop; `encode` makes a body of spans. `became` hears what became of how many."""

    def __init__(
        self,
        encode: Callable[[Sequence[Span]], bytes],
        receiver: Receiver,
        became: Callable[[str, int], None],
        pace: Pace = DEFAULT_PACE,
    ) -> None:
        self._encode = encode
        self._receiver = receiver
        self._became = became
        self._pace = pace
        self._queue: deque[Span] = deque()
        self._failures = 0
        self._refused = False
        self._stopping = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def add(self, spans: Sequence[Span]) -> None:
        """Those that have no room are dropped."""
        if len(self._queue) + len(spans) > MOST_QUEUED:
            self._became("dropped", len(spans))
        else:
            self._queue.extend(spans)

    async def start(self) -> None:
        self._task = asyncio.get_running_loop().create_task(self._run(), name="export spans")

    async def stop(self) -> None:
        """Sends what is left, if that takes no longer than `Pace.flush`."""
        if self._task is None:
            return
        self._stopping.set()
        await asyncio.wait([self._task], timeout=self._pace.flush)
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        self._became("dropped", len(self._queue))
        self._queue.clear()

    async def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                async with asyncio.timeout(self._pace.wait(self._failures)):
                    await self._stopping.wait()
            except TimeoutError:
                pass
            while self._queue and await self._send():
                pass

    async def _send(self) -> bool:
        """One batch; False if it is to be tried again later. Never raises."""
        batch = list(islice(self._queue, BATCH))
        try:
            status = await self._receiver.post(await asyncio.to_thread(self._encode, batch))
        except (OSError, TimeoutError) as error:
            return self._failed(str(error) or "no answer in time")
        except Exception:  # a bug must not end the export
            log.exception("spans cannot be exported")
            return self._gone(batch, "refused")
        if status in AGAIN:
            return self._failed(f"it answers {status}")
        if 200 <= status < 300:
            self._refused = False
            return self._gone(batch, "exported")
        if not self._refused:
            log.error("tracing: the receiver refuses spans (status %d); see tracing.endpoint, tracing.headers", status)
        self._refused = True
        return self._gone(batch, "refused")

    def _failed(self, why: str) -> bool:
        if not self._failures:
            log.warning("tracing: the receiver takes no spans, they wait: %s", why)
        self._failures += 1
        return False

    def _gone(self, batch: Sequence[Span], outcome: str) -> bool:
        for _ in batch:
            self._queue.popleft()
        self._became(outcome, len(batch))
        self._failures = 0
        return True
