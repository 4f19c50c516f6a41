"""The tool `python` of the profile `tools`: with the client that vLLM uses, in the engine's own environment."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from server.config import ToolServer
from server.responses.hosted import CodeTool, Offer, functions_of
from server.toolbox.server import Server
from tests.behaviour.processes import free_port

TOOL = "deploy/tools/python_tool.py"
# As vllm/entrypoints/mcp/tool_server.py does it.
CLIENT = """
import asyncio, json, sys
from mcp import ClientSession
from mcp.client.sse import sse_client

async def main(url, codes):
    async with sse_client(url=url) as streams, ClientSession(*streams) as session:
        met = await session.initialize()
        tools = (await session.list_tools()).tools
        told = [(await session.call_tool("python", {"code": code})).content[0].text for code in codes]
    shown = [tool.name for tool in tools if (tool.meta or {}).get("include_in_prompt", True)]
    print(json.dumps({"name": met.server_info.name, "says": met.instructions, "shown": shown, "told": told}))

asyncio.run(main(sys.argv[1], json.loads(sys.argv[2])))
"""
LEAVES = """
import os, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        time.sleep(300)
    time.sleep(300)
print("done")
"""


class Uncounted:
    def called(self, server: str, outcome: str, seconds: float) -> None: ...

    def listed(self, server: str, outcome: str) -> None: ...


@pytest.fixture(scope="module")
def tool(engine_python: Path, root: Path) -> Iterator[tuple[int, int]]:
    """Its port and its process."""
    port = free_port()
    process = subprocess.Popen([engine_python, root / TOOL, "127.0.0.1", str(port)], stderr=subprocess.DEVNULL)
    yield port, process.pid
    process.terminate()
    process.wait(10)


def ask(engine_python: Path, port: int, *codes: str) -> dict[str, object]:
    until = time.monotonic() + 25
    while True:
        command = [engine_python, "-c", CLIENT, f"http://127.0.0.1:{port}/sse", json.dumps(codes)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode == 0:
            return json.loads(done.stdout)
        assert time.monotonic() < until, done.stderr


def test_what_a_model_gets(engine_python: Path, tool: tuple[int, int]) -> None:
    port, pid = tool
    answer = ask(
        engine_python, port, "print(6 * 7)", "print(1 / 0)", "raise SystemExit(3)", "print('\u4f60' * 30_000)", LEAVES
    )
    assert answer["name"] == "python"
    assert "executed" in str(answer["says"]) or "execute Python code" in str(answer["says"])
    assert answer["shown"] == []  # a call is code and nothing else: no schema in the prompt
    good, broken, ended, long, left = answer["told"]  # type: ignore[misc]
    assert good == "42\n"
    assert "ZeroDivisionError" in broken and broken.endswith("(exit status 1)")
    assert ended == "\n(exit status 3)"
    assert long == "\u4f60" * 20_000 + "\n(cut)"
    assert "done" in left
    assert Path(f"/proc/{pid}/task/{pid}/children").read_text() == ""  # nothing outlives its run


def test_nothing_is_kept_from_run_to_run_or_taken_from_the_environment(
    engine_python: Path, tool: tuple[int, int]
) -> None:
    port, _ = tool
    first, second = ask(  # type: ignore[misc]
        engine_python,
        port,
        "import os; open('note', 'w').write('x'); x = 1; print(os.getcwd())",
        "import os; print(os.path.exists('note'), 'x' in globals(), sorted(os.environ), os.getcwd())",
    )["told"]
    assert second.startswith("False False ['HOME', ")
    assert first.strip() not in second
    assert "PORTICO" not in second


async def test_the_gateway_runs_code_with_it(root: Path) -> None:
    """As it is, by the server that the tests have: the engine's environment is not asked."""
    port = free_port()
    settings = ToolServer(url=f"http://127.0.0.1:{port}/mcp", role="code_interpreter")
    command = (sys.executable, root / TOOL, "127.0.0.1", str(port))
    process = await asyncio.create_subprocess_exec(*command, stderr=subprocess.DEVNULL)
    try:
        server, listing = Server("py", settings, 300, 1000, Uncounted()), None
        async with asyncio.timeout(25):
            while listing is None or listing.error is not None:
                await asyncio.sleep(0.1)
                listing = await Server("py", settings, 300, 1000, Uncounted()).tools()
        offer = Offer("py", CodeTool(type="code_interpreter"), listing.tools)
        assert [function.name for _, function in functions_of(offer)] == ["code_interpreter"]
        printed = await server.call(server.session(), "python", json.dumps({"code": "print(6 * 7)"}))
        assert printed == ("42\n", None)
    finally:
        process.terminate()
        await process.wait()
