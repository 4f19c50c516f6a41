"""A real MCP server (the official SDK's) over streamable HTTP on a loopback port, in the test's own event loop.

async with tool_server() as tools:
    ... config: tools={"servers": {"desk": {"url": tools.url}}}
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import uvicorn
from mcp.server import MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp.types import ToolAnnotations

from tests.behaviour.serving import eventually


@dataclass
class ToolServer:
    url: str = ""
    called: list[tuple[str, Any]] = field(default_factory=list)
    """Each call that came to a tool, with its argument."""
    headers: list[dict[str, str]] = field(default_factory=list)
    """Of each request."""
    methods: list[str] = field(default_factory=list)
    release: asyncio.Event = field(default_factory=asyncio.Event)
    """What the tool `waits` waits for."""


def made(seen: ToolServer) -> MCPServer:
    server = MCPServer(name="desk", log_level="ERROR")

    @server.tool(description="The sum.", annotations=ToolAnnotations(read_only_hint=True), structured_output=False)
    async def add(a: int, b: int) -> str:
        seen.called.append(("add", (a, b)))
        return str(a + b)

    @server.tool(description="Says it again.", structured_output=False)
    async def echo(text: str) -> str:
        seen.called.append(("echo", text))
        return text

    @server.tool(structured_output=False)
    async def fails(text: str) -> str:
        seen.called.append(("fails", text))
        raise ToolError("out of paper")

    @server.tool(structured_output=False)
    async def huge(letters: int) -> str:
        seen.called.append(("huge", letters))
        return "x" * letters

    @server.tool(structured_output=False)
    async def hangs() -> str:
        seen.called.append(("hangs", None))
        await asyncio.sleep(3600)
        return ""

    @server.tool(structured_output=False)
    async def waits() -> str:
        seen.called.append(("waits", None))
        await seen.release.wait()
        return "at last"

    @server.tool(description="Runs code.", structured_output=False)
    async def python(code: str) -> str:
        seen.called.append(("python", code))
        return f"ran {code}"

    return server


def browser(seen: ToolServer) -> MCPServer:
    """With the tools of gpt-oss's own, and their arguments."""
    server = MCPServer(name="browser", log_level="ERROR")

    @server.tool(description="Searches.", structured_output=False)
    async def search(query: str, topn: int = 10) -> str:
        seen.called.append(("search", query))
        if query == "nothing":
            raise ToolError("no key")
        return f"[0] found {query}"

    @server.tool(name="open", description="Opens a link.", structured_output=False)
    async def opens(id: int | str = -1, cursor: int = -1) -> str:
        seen.called.append(("open", id))
        return f"[1] page {id}"

    @server.tool(description="Finds in a page.", structured_output=False)
    async def find(pattern: str, cursor: int = -1) -> str:
        seen.called.append(("find", pattern))
        return f"[2] {pattern} in line 3"

    return server


@asynccontextmanager
async def tool_server(make: Callable[[ToolServer], MCPServer] = made, **settings: Any) -> AsyncIterator[ToolServer]:
    """`settings` are those of the SDK: `json_response`, `stateless_http`."""
    seen = ToolServer()
    app = make(seen).streamable_http_app(**settings)

    async def watched(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            seen.headers.append({name.decode(): value.decode() for name, value in scope["headers"]})
            seen.methods.append(scope["method"])
        await app(scope, receive, send)

    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(64)
        server = uvicorn.Server(
            uvicorn.Config(watched, log_level="critical", lifespan="on", timeout_graceful_shutdown=0)
        )
        server.capture_signals = _nothing  # type: ignore[method-assign, assignment]
        task = asyncio.create_task(server.serve(sockets=[listener]))
        try:
            await eventually(lambda: server.started)
            seen.url = f"http://127.0.0.1:{listener.getsockname()[1]}/mcp"
            yield seen
        finally:
            server.should_exit = server.force_exit = True
            await asyncio.wait_for(task, 10)


def _nothing() -> Any:
    class Nothing:
        def __enter__(self) -> None: ...
        def __exit__(self, *_: object) -> None: ...

    return Nothing()
