"""gpt-oss's tool `python` as an MCP server: runs the code that a model wrote.

For Portico over streamable HTTP, at /mcp, and for vLLM's --tool-server over SSE, at /sse. It runs in vLLM's image, as
the service `python-tool` of docker-compose.yml: all that it needs is there. What keeps the code in is the container: no
network but that of its callers, no secrets, nothing to write but memory, no root, bounds on memory, processes and
processors. What keeps one run from the next is here: one at a time, each in a folder of its own,
and whatever a run leaves behind is ended before the next begins.

    python_tool.py [HOST [PORT]]      0.0.0.0 and 8000 are those of its container
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import signal
import sys
import tempfile
from pathlib import Path

import uvicorn
from mcp.server import MCPServer
from starlette.applications import Starlette

RUN_S = 30.0  # of one run
WAIT_S = 60.0  # for its turn
MOST_CHARACTERS = 20_000  # of what it printed
PR_SET_CHILD_SUBREAPER = 36
DESCRIPTION = (
    "Use this tool to execute Python code in your chain of thought. The code will not be shown to the user. Each call "
    f"starts anew, without a network, and may take {RUN_S:g} seconds. What it prints is returned to you."
)

server = MCPServer(name="python", instructions=DESCRIPTION, log_level="WARNING")
turn = asyncio.Lock()


# Not part of the prompt: for gpt-oss, code is the whole text of a call and needs no schema.
@server.tool(name="python", description=DESCRIPTION, meta={"include_in_prompt": False}, structured_output=False)
async def python(code: str) -> str:
    try:
        async with asyncio.timeout(WAIT_S):
            await turn.acquire()
    except TimeoutError:
        return "Error: the tool is busy; try again later."
    try:
        return await run(code)
    finally:
        turn.release()


async def run(code: str, within_s: float = RUN_S) -> str:
    """What `code` prints, to both streams, and how it ended if not well.

    Files and not pipes: a run ends with its first process, whoever still holds a pipe.
    """
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder, tempfile.TemporaryFile() as printed:
        with tempfile.TemporaryFile() as source:
            source.write(code.encode(errors="replace"))
            source.seek(0)
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-I", "-",
                cwd=folder, env={"HOME": folder, "TMPDIR": folder, "PATH": os.defpath, "MPLBACKEND": "Agg"},
                stdin=source, stdout=printed, stderr=printed, start_new_session=True,
            )  # fmt: skip
        try:
            async with asyncio.timeout(within_s):
                ended = f"exit status {await process.wait()}"
        except TimeoutError:
            ended = f"it was ended after {within_s:g} s"
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
            end_descendants()
        printed.seek(0)
        text = printed.read(4 * MOST_CHARACTERS + 4).decode(errors="replace")
    if len(text) > MOST_CHARACTERS:
        text = f"{text[:MOST_CHARACTERS]}\n(cut)"
    return text if ended == "exit status 0" else f"{text}\n({ended})"


def both(host: str) -> Starlette:
    """Sessions hold nothing, so over HTTP there are none."""
    app = server.streamable_http_app(stateless_http=True, host=host)
    app.router.routes.extend(server.sse_app(host=host).routes)
    return app


def adopt_orphans() -> None:
    """What a run leaves behind becomes a child of this process, which then can end it."""
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def end_descendants() -> None:
    """Children first; theirs are then ours. It ends because the container bounds how many there can be."""
    while pids := Path(f"/proc/self/task/{os.getpid()}/children").read_text().split():
        for pid in map(int, pids):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, 0)


if __name__ == "__main__":
    adopt_orphans()
    given = dict(enumerate(sys.argv))
    address = given.get(1, "0.0.0.0")  # noqa: S104 - of its container
    uvicorn.run(both(address), host=address, port=int(given.get(2, "8000")), log_level="warning")
