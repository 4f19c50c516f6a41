"""The real processes: `portico serve` and `python -m server.worker`, as a user or an orchestrator runs them."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import yaml

from tests.behaviour.engine_double import EngineDouble
from tests.behaviour.serving import CHAT, MESSAGES, MODEL, configuration, eventually
from tests.behaviour.wire import Reply, Wire


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


class Served:
    def __init__(self, process: asyncio.subprocess.Process, port: int, metrics: int, log: Path) -> None:
        self.process = process
        self.port = port
        self.metrics_port = metrics
        self._log = log

    async def chat(self, **body: Any) -> Reply:
        async with Wire(self.port) as wire:
            await wire.request("POST", CHAT, {"model": MODEL, "messages": MESSAGES} | body)
            return await wire.reply()

    @asynccontextmanager
    async def opened(self, **body: Any) -> AsyncIterator[Wire]:
        async with Wire(self.port) as wire:
            await wire.request("POST", CHAT, {"model": MODEL, "messages": MESSAGES} | body)
            yield wire

    async def metrics(self, token: str | None = None) -> str:
        headers = f"authorization: Bearer {token}\r\n" if token else ""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.metrics_port)
        writer.write(f"GET /metrics HTTP/1.0\r\n{headers}\r\n".encode())
        text = (await reader.read()).decode()
        writer.close()
        return text

    async def sum_of(self, name: str, *labels: str) -> float:
        lines = [line for line in (await self.metrics()).splitlines() if line.startswith(name + "{")]
        return sum(float(line.rpartition(" ")[2]) for line in lines if all(label in line for label in labels))

    def workers(self) -> list[int]:
        """Process ids of the worker processes."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return [pid for pid in map(int, children) if "server.worker" in Path(f"/proc/{pid}/cmdline").read_text()]

    def log(self) -> str:
        return self._log.read_text()

    def request_lines(self) -> list[dict[str, Any]]:
        return [line for line in map(json.loads, self.log().splitlines()) if line["msg"] == "request"]

    async def end(self) -> int:
        """SIGTERM; the exit status."""
        self.process.send_signal(signal.SIGTERM)
        return await asyncio.wait_for(self.process.wait(), 15)


@asynccontextmanager
async def serve(engine: EngineDouble, folder: Path, **sections: Any) -> AsyncIterator[Served]:
    """`portico serve` with a configuration of its own, ready to answer."""
    port, metrics = free_port(), free_port()
    server = {"port": port, "first_event_grace_s": 0.3, **sections.pop("server", {})}
    scraped = {"port": metrics, **sections.pop("metrics", {})}
    tree = configuration((engine,), server=server, metrics=scraped, **sections)
    file, log, screen = folder / "portico.yaml", folder / "log", folder / "screen"
    file.write_text(yaml.safe_dump(json.loads(json.dumps(tree))))
    environ = {name: value for name, value in os.environ.items() if not re.match("PORTICO|PROMETHEUS", name)}
    with log.open("wb") as out, screen.open("wb") as err:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "server",
            "serve",
            "--config",
            str(file),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=out,
            stderr=err,
            env=environ | {"PORTICO_HOME": str(folder / "home")},
        )
    try:
        await eventually(lambda: b"Portico is ready" in screen.read_bytes() or process.returncode is not None, 20)
        assert process.returncode is None, screen.read_text()
        yield Served(process, port, metrics, log)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
