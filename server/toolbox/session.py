"""A session with one MCP server, for one response: what a server keeps of it is nobody else's.

`initialize` comes with the first thing that is asked. A server that has forgotten the session (404) is greeted again,
once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any
from uuid import uuid4

from server.responses.hosted import Listed, Outcome
from server.toolbox.faults import ToolFault, not_mcp
from server.toolbox.http import ToolHttp
from server.toolbox.mcp import (
    BEGUN,
    MOST_PAGES,
    MOST_TOOLS,
    PAGE,
    RESULT,
    SPOKEN,
    Begun,
    Page,
    Reading,
    Result,
    greeting,
    notification,
    read,
    request,
)

SESSION, PROTOCOL = "mcp-session-id", "mcp-protocol-version"
FORGOTTEN = 404
_VERSION = version("portico")


class Session:
    """Nothing here has a time limit of its own. All that asks raises `ToolFault`."""

    def __init__(self, http: ToolHttp) -> None:
        self._http = http
        self._headers: dict[str, str] = {}
        self._begun = False
        self._greeting = asyncio.Lock()
        self._number = 0
        self._meta = {"client_id": uuid4().hex}  # gpt-oss's browser keeps its pages by it, and by nothing else

    async def tools(self) -> list[Listed]:
        """All pages of them."""
        found: list[Listed] = []
        params: dict[str, Any] = {}
        for _ in range(MOST_PAGES):
            page: Page = read(PAGE, await self._ask("tools/list", params))
            found += page.listed()
            if len(found) > MOST_TOOLS:
                raise ToolFault("too_large", f"The tool server lists more than {MOST_TOOLS} tools.")
            if page.next_cursor is None:
                return found
            params = {"cursor": page.next_cursor}
        raise ToolFault("too_large", f"The tool server lists its tools on more than {MOST_PAGES} pages.")

    async def call(self, name: str, arguments: Mapping[str, Any], most: int) -> Outcome:
        """At most `most` bytes of what the tool says."""
        params = {"name": name, "arguments": arguments, "_meta": self._meta}
        result: Result = read(RESULT, await self._ask("tools/call", params))
        return result.outcome(most)

    @property
    def open(self) -> bool:
        """Whether the server keeps something for it."""
        return SESSION in self._headers

    async def close(self) -> None:
        await self._http.exchange("DELETE", b"", self._headers, None)

    async def _ask(self, method: str, params: Mapping[str, Any]) -> bytes:
        async with self._greeting:
            if not self._begun:
                await self._greet()
        status, result = await self._post(method, params)
        if status == FORGOTTEN and self.open:
            async with self._greeting:
                await self._greet()
            status, result = await self._post(method, params)
        return _good(status, result)

    async def _greet(self) -> None:
        self._headers = {}
        status, result = await self._post("initialize", greeting(_VERSION))
        begun: Begun = read(BEGUN, _good(status, result))
        if begun.protocol_version not in SPOKEN:
            raise ToolFault("protocol_error", "The tool server speaks another version of MCP.")
        self._headers[PROTOCOL] = begun.protocol_version
        await self._http.exchange("POST", notification("notifications/initialized"), self._headers, None)
        self._begun = True

    async def _post(self, method: str, params: Mapping[str, Any]) -> tuple[int, bytes | None]:
        self._number += 1
        reading = Reading(self._number)
        body = request(self._number, method, params)
        status, headers = await self._http.exchange("POST", body, self._headers, reading)
        if not 200 <= status < 300:
            return status, None
        if method == "initialize" and is_header(headers.get(SESSION)):
            self._headers[SESSION] = headers[SESSION]
        return status, reading.end()


def is_header(value: str | None) -> bool:
    """Whether it can be sent back: visible ASCII, as the specification has it."""
    return bool(value) and value.isascii() and value.isprintable() and " " not in value


def _good(status: int, result: bytes | None) -> bytes:
    if result is not None:
        return result
    if 200 <= status < 300:
        raise not_mcp()
    raise ToolFault("http_error", f"The tool server answered with status {status}.", status)
