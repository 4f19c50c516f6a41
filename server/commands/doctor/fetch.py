"""One GET, whole, within a time limit, with the other end's clock.

In HTTP/1.0, so that an answer comes in one piece and ends with its connection. Proxies of the environment are not used:
calls to engines do not use them either.
"""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from time import time
from urllib.parse import urlsplit

from server.commands.loopback import unverified

TIMEOUT_S = 5.0
MOST_BYTES = 4 * 1024 * 1024


class Unreachable(Exception):
    """No answer; a few words for a person."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """`headers` by lower-case names. `ahead_s`: by how much the other clock is ahead of ours, to within a second."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    ahead_s: float | None


async def fetch(
    url: str, headers: Mapping[str, str] | None = None, *, timeout_s: float = TIMEOUT_S, verify: bool = True
) -> Fetched:
    """Raises `Unreachable`."""
    try:
        async with asyncio.timeout(timeout_s):
            return await _fetch(url, headers or {}, verify=verify)
    except TimeoutError:
        raise Unreachable(f"no answer within {timeout_s:g} s") from None
    except ssl.SSLCertVerificationError as error:
        raise Unreachable(f"its certificate is not good ({error.verify_message})") from None
    except ssl.SSLError:
        raise Unreachable("no TLS is spoken there") from None
    except socket.gaierror:
        raise Unreachable("no such host is known") from None
    except OSError as error:
        reason = os.strerror(error.errno).lower() if error.errno else "it cannot be connected to"
        raise Unreachable(reason) from None
    except (ValueError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
        raise Unreachable("what answers does not speak HTTP") from None


async def _fetch(url: str, headers: Mapping[str, str], *, verify: bool) -> Fetched:
    parts = urlsplit(url)
    tls = (ssl.create_default_context() if verify else unverified()) if parts.scheme == "https" else None
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port or (443 if tls else 80), ssl=tls)
    try:
        lines = [f"GET {parts.path or '/'} HTTP/1.0", f"host: {parts.netloc}", "accept-encoding: identity"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        before = time()
        writer.write("\r\n".join([*lines, "", ""]).encode())
        await writer.drain()
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        after = time()
        body = b""
        while (part := await reader.read(65_536)) and len(body) < MOST_BYTES:
            body += part
    finally:
        writer.close()
    found = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:])}
    version, status, *_ = head[0].split()
    if not version.startswith("HTTP/"):
        raise ValueError("not HTTP")
    return Fetched(int(status), found, body, ahead(found.get("date"), before, after))


def ahead(date: str | None, before: float, after: float) -> float | None:
    """Of a `Date`, which has whole seconds and was written between `before` and `after`; 0.0 where it can be right."""
    if date is None:
        return None
    try:
        theirs = parsedate_to_datetime(date).timestamp()
    except (ValueError, OverflowError):
        return None
    if theirs > after:
        return theirs - after
    return min(0.0, theirs + 1 - before)
