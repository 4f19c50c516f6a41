"""Headers: what a request's say, and those of answers. Shared by the relay and the rest of the app."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from functools import lru_cache
from random import getrandbits
from time import perf_counter, time

from server.call import Rate, RateState, Tokens
from server.errors import BodyTooLarge, GatewayError, UnsupportedMediaType

Headers = Mapping[bytes, bytes]
"""Of a request, by lower-case name; of repeated ones the last."""
HeaderList = list[tuple[bytes, bytes]]

_CLIENT_ID = re.compile(rb"[A-Za-z0-9._:/+=-]{1,128}\Z")


def new_request_id() -> str:
    """Unique, not secret: so no system call for its randomness.

    It begins with the time, as in RFC 9562's version 7: a database adds rows at the end of its index, and does not
    write a page of it for each.
    """
    return f"req_{int(time() * 1000):012x}{getrandbits(80):020x}"


def client_request_id(headers: Headers) -> str | None:
    """The client's own id, if it sent one that is safe to repeat."""
    for name in (b"x-client-request-id", b"x-request-id"):
        value = headers.get(name)
        if value is not None and _CLIENT_ID.match(value):
            return value.decode()
    return None


def answer_headers(request_id: str, client_id: str | None, started: float) -> bytes:
    """The header lines that every answer has. `started` in `perf_counter` seconds."""
    lines = b"x-request-id: %b\r\nopenai-processing-ms: %d\r\nopenai-version: 2020-10-01\r\n" % (
        request_id.encode(),
        (perf_counter() - started) * 1000,
    )
    return lines if client_id is None else b"%bx-client-request-id: %b\r\n" % (lines, client_id.encode())


def error_headers(error: GatewayError) -> HeaderList:
    headers: HeaderList = []
    if error.final:
        headers.append((b"x-should-retry", b"false"))
    if error.retry_after is not None:
        headers.append((b"retry-after", b"%d" % max(1, math.ceil(error.retry_after))))
        headers.append((b"retry-after-ms", b"%d" % max(1, math.ceil(error.retry_after * 1000))))
    elif not error.final and (error.status >= 500 or error.status == 429):
        headers.append((b"x-should-retry", b"true" if error.status != 500 else b"false"))
    if error.status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    return headers


def rate_headers(rate: RateState, tokens: Tokens | None) -> bytes:
    """The lines of `x-ratelimit-*`. With the `tokens` of a call that has ended, what it did not use is back already."""
    out = b""
    if rate.requests is not None:
        out += _rate(b"requests", rate.requests, rate.requests.remaining)
    if rate.tokens is not None:
        back = 0 if tokens is None else rate.tokens.taken - tokens.prompt - tokens.completion
        out += _rate(b"tokens", rate.tokens, min(rate.tokens.limit, max(0, rate.tokens.remaining + back)))
    return out


def _rate(what: bytes, rate: Rate, remaining: int) -> bytes:
    wait = rate.reset_s if rate.reset_s < 1 else math.ceil(rate.reset_s)
    return b"%b%d\r\n%b" % (_limit_line(what, rate.limit), remaining, _reset_line(what, wait))


@lru_cache(1000)
def _limit_line(what: bytes, limit: int) -> bytes:
    return b"x-ratelimit-limit-%b: %d\r\nx-ratelimit-remaining-%b: " % (what, limit, what)


@lru_cache(1000)
def _reset_line(what: bytes, wait_s: float) -> bytes:
    return b"x-ratelimit-reset-%b: %b\r\n" % (what, duration(wait_s).encode())


def duration(seconds: float) -> str:
    """As OpenAI writes it: `12ms`, `1s`, `6m0s`, `23h59m59s`."""
    if seconds < 1:
        return f"{math.ceil(seconds * 1000)}ms"
    whole = math.ceil(seconds)
    hours, minutes, rest = whole // 3600, whole // 60 % 60, whole % 60
    if hours:
        return f"{hours}h{minutes}m{rest}s"
    return f"{minutes}m{rest}s" if minutes else f"{rest}s"


def lines(headers: HeaderList) -> bytes:
    """As they stand on the wire."""
    return b"".join([b"%b: %b\r\n" % header for header in headers])


class Lines:
    """`lines` of a list that is replaced and never changed: made once for each."""

    __slots__ = ("_lines", "_of")

    def __init__(self) -> None:
        self._of: HeaderList = []
        self._lines = b""

    def of(self, headers: HeaderList) -> bytes:
        if headers is not self._of:
            self._of, self._lines = headers, lines(headers)
        return self._lines


def pairs(header_lines: bytes) -> HeaderList:
    """The reverse of `lines`, for ASGI."""
    return [(name, value) for line in header_lines.splitlines() for name, _, value in (line.partition(b": "),)]


def check_content(headers: Headers, max_bytes: int) -> None:
    """Refuse by the headers what need not be read."""
    length = headers.get(b"content-length")
    if length is not None and int(length) > max_bytes:
        raise too_large(max_bytes)
    kind = headers.get(b"content-type")
    if kind is not None and kind != b"application/json" and not _is_json(kind):
        raise UnsupportedMediaType("Send JSON, with the header 'Content-Type: application/json'.")
    encoding = headers.get(b"content-encoding")
    if encoding is not None and encoding.strip().lower() != b"identity":
        raise UnsupportedMediaType("Compressed request bodies are not supported; send the JSON as it is.")


def _is_json(content_type: bytes) -> bool:
    kind = content_type.split(b";", 1)[0].strip().lower()
    return kind == b"application/json" or (kind.startswith(b"application/") and kind.endswith(b"+json"))


def too_large(max_bytes: int) -> BodyTooLarge:
    return BodyTooLarge(f"The request body is larger than {max_bytes} bytes.")
