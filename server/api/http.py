"""Reading requests and writing answers on bare ASGI: what the relay endpoints share with the rest of the app."""

from __future__ import annotations

import asyncio
import math
import re
from collections.abc import Awaitable, Callable, MutableMapping
from random import getrandbits
from time import perf_counter
from typing import Any

from server.errors import BodyTooLarge, GatewayError, RequestTimedOut, UnsupportedMediaType
from server.watchdog import Watchdog

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
HeaderList = list[tuple[bytes, bytes]]

OPENAI_VERSION = (b"openai-version", b"2020-10-01")
ANSWER_AT_ONCE = "portico.answer_at_once"
"""ASGI extension of our protocol: `(status, headers, body) -> None`, the whole answer in one write."""
JSON = (b"content-type", b"application/json")
_CLIENT_ID = re.compile(rb"[A-Za-z0-9._:/+=-]{1,128}\Z")


class ClientLeft(Exception):
    """The client closed the connection before its request was complete."""


def new_request_id() -> str:
    """Unique, not secret: so no system call for its randomness."""
    return f"req_{getrandbits(128):032x}"


def client_request_id(headers: HeaderList) -> str | None:
    """The client's own id, if it sent one that is safe to repeat."""
    for name, value in headers:
        if name in (b"x-client-request-id", b"x-request-id") and _CLIENT_ID.match(value):
            return value.decode()
    return None


def answer_headers(request_id: str, client_id: str | None, started: float) -> HeaderList:
    """`started` in `perf_counter` seconds."""
    headers = [
        (b"x-request-id", request_id.encode()),
        (b"openai-processing-ms", b"%d" % ((perf_counter() - started) * 1000)),
        OPENAI_VERSION,
    ]
    if client_id is not None:
        headers.append((b"x-client-request-id", client_id.encode()))
    return headers


def error_headers(error: GatewayError) -> HeaderList:
    headers: HeaderList = []
    if error.retry_after is not None:
        headers.append((b"retry-after", b"%d" % max(1, math.ceil(error.retry_after))))
        headers.append((b"retry-after-ms", b"%d" % max(1, math.ceil(error.retry_after * 1000))))
    elif error.status >= 500 or error.status == 429:
        headers.append((b"x-should-retry", b"true" if error.status != 500 else b"false"))
    if error.status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    if error.close:
        headers.append((b"connection", b"close"))
    return headers


async def send_json(send: Send, status: int, headers: HeaderList, body: bytes) -> None:
    headers += (JSON, (b"content-length", b"%d" % len(body)))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def check_content(headers: HeaderList, max_bytes: int) -> None:
    """Refuse by the headers what need not be read."""
    for name, value in headers:
        if name == b"content-length":
            if int(value) > max_bytes:
                raise _too_large(max_bytes)
        elif name == b"content-type":
            kind = value.split(b";", 1)[0].strip().lower()
            if kind != b"application/json" and not (kind.startswith(b"application/") and kind.endswith(b"+json")):
                raise UnsupportedMediaType("Send JSON, with the header 'Content-Type: application/json'.")
        elif name == b"content-encoding" and value.strip().lower() != b"identity":
            raise UnsupportedMediaType("Compressed request bodies are not supported; send the JSON as it is.")


class _BodyDeadline:
    """Ends a request whose body does not come."""

    def __init__(self, task: asyncio.Task[Any], silence_s: float) -> None:
        self._task = task
        self._silence_s = silence_s
        self.last = perf_counter()
        self.expired = False

    def tick(self, now: float) -> None:
        if now - self.last > self._silence_s and not self.expired:
            self.expired = True
            self._task.cancel()


async def read_body(receive: Receive, max_bytes: int, silence_s: float, watchdog: Watchdog) -> bytes:
    """The whole body. Raises `BodyTooLarge`, `RequestTimedOut` after `silence_s` seconds of silence, `ClientLeft`."""
    task = asyncio.current_task()
    assert task is not None  # noqa: S101
    deadline = _BodyDeadline(task, silence_s)
    watchdog.add(deadline)
    parts: list[bytes] = []
    size = 0
    try:
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise ClientLeft
            deadline.last = perf_counter()
            part: bytes = message.get("body", b"")
            size += len(part)
            if size > max_bytes:
                raise _too_large(max_bytes)
            parts.append(part)
            if not message.get("more_body", False):
                return parts[0] if len(parts) == 1 else b"".join(parts)
    except asyncio.CancelledError:
        if deadline.expired:
            task.uncancel()
            raise RequestTimedOut("The request body did not arrive in time.") from None
        raise
    finally:
        watchdog.discard(deadline)


def _too_large(max_bytes: int) -> BodyTooLarge:
    return BodyTooLarge(f"The request body is larger than {max_bytes} bytes.")
