"""The real processes: `portico serve` and `python -m server.worker`, as a user or an orchestrator runs them."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import socket
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.behaviour.engine_double import EngineDouble
from tests.behaviour.serving import CHAT, KEY, MESSAGES, MODEL, configuration, eventually
from tests.behaviour.wire import Reply, Wire


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


@dataclass(frozen=True)
class Said:
    """What a command ended with."""

    status: int
    out: str
    err: str


class Served:
    """`portico serve` in a folder of its own, which has its configuration, its home, its log and its screen."""

    def __init__(self, folder: Path, port: int, metrics: int, durable: str) -> None:
        self.folder = folder
        self.home = folder / "home"
        self.port = port
        self.metrics_port = metrics
        self.durable = durable
        self.process: asyncio.subprocess.Process = None  # type: ignore[assignment] # known once it is started

    async def chat(self, key: str = KEY, **body: Any) -> Reply:
        return await self.request("POST", CHAT, {"model": MODEL, "messages": MESSAGES} | body, key)

    async def request(self, method: str, path: str, body: object = None, key: str | None = KEY) -> Reply:
        async with Wire(self.port) as wire:
            await wire.request(method, path, body, key)
            return await wire.reply()

    @asynccontextmanager
    async def opened(self, key: str = KEY, **body: Any) -> AsyncIterator[Wire]:
        async with Wire(self.port) as wire:
            await wire.request("POST", CHAT, {"model": MODEL, "messages": MESSAGES} | body, key)
            yield wire

    async def metrics(self, token: str | None = None) -> str:
        headers = f"authorization: Bearer {token}\r\n" if token else ""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.metrics_port)
        writer.write(f"GET /metrics HTTP/1.0\r\n{headers}\r\n".encode())
        text = (await reader.read()).decode()
        writer.close()
        return text

    async def sum_of(self, name: str, *labels: str) -> float:
        lines = [line for line in (await self.metrics()).splitlines() if re.match(rf"{name}[{{ ]", line)]
        return sum(float(line.rpartition(" ")[2]) for line in lines if all(label in line for label in labels))

    def workers(self) -> list[int]:
        """Process ids of the worker processes."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return [pid for pid in map(int, children) if "server.worker" in Path(f"/proc/{pid}/cmdline").read_text()]

    def log(self) -> str:
        return (self.folder / "log").read_text()

    def log_lines(self) -> list[dict[str, Any]]:
        """Of which each must be JSON."""
        return [json.loads(line) for line in self.log().splitlines()]

    def request_lines(self) -> list[dict[str, Any]]:
        return [line for line in self.log_lines() if line["msg"] == "request"]

    def screen(self) -> str:
        return (self.folder / "screen").read_text()

    async def start(self, program: Sequence[str] = ("-m", "server")) -> None:
        """`program`: arguments for Python."""
        with (self.folder / "log").open("ab") as out, (self.folder / "screen").open("wb") as err:
            self.process = await self._run((*program, "serve"), stdout=out, stderr=err)

    async def run_on(self, terminal: int) -> asyncio.subprocess.Process:
        """Another one, whose screen is a terminal."""
        with (self.folder / "log").open("ab") as out:
            return await self._run(("-m", "server", "serve"), stdout=out, stderr=terminal)

    async def portico(self, *words: str) -> Said:
        """Another command, with the same configuration."""
        process = await self._run(("-m", "server", *words), stdout=PIPE, stderr=PIPE)
        out, err = await process.communicate()
        return Said(process.returncode or 0, out.decode().removesuffix("\n"), err.decode())

    async def _run(self, words: Sequence[str], **streams: Any) -> asyncio.subprocess.Process:
        environ = {name: value for name, value in os.environ.items() if not re.match("PORTICO|PROMETHEUS", name)}
        return await asyncio.create_subprocess_exec(
            sys.executable,
            *words,
            "--config",
            str(self.folder / "portico.yaml"),
            stdin=asyncio.subprocess.DEVNULL,
            env=environ | {"PORTICO_HOME": str(self.home)},
            **streams,
        )

    async def ready(self) -> None:
        await eventually(lambda: "Portico is ready" in self.screen() or self.process.returncode is not None, 20)
        assert self.process.returncode is None, self.screen()

    async def ended(self, within_s: float = 15) -> int:
        """The exit status, of one that ends by itself."""
        return await asyncio.wait_for(self.process.wait(), within_s)

    async def end(self) -> int:
        """SIGTERM; the exit status."""
        self.process.send_signal(signal.SIGTERM)
        return await self.ended()


@asynccontextmanager
async def started(
    double: EngineDouble, folder: Path, program: Sequence[str] = ("-m", "server"), **sections: Any
) -> AsyncIterator[Served]:
    """`portico serve` with a configuration of its own, which may not be ready yet, or never be."""
    durable = sections.get("stores", {}).get("durable", "sqlite:///var/portico.db")
    served = Served(folder, free_port(), free_port(), durable)
    server = {"port": served.port, "first_event_grace_s": 0.3, **sections.pop("server", {})}
    scraped = {"port": served.metrics_port, **sections.pop("metrics", {})}
    tree = configuration((double,), server=server, metrics=scraped, **sections)
    folder.mkdir(exist_ok=True)  # noqa: ASYNC240 - quick
    (folder / "portico.yaml").write_text(yaml.safe_dump(json.loads(json.dumps(tree))))
    await served.start(program)
    try:
        yield served
    finally:
        if served.process.returncode is None:
            served.process.kill()
            await served.process.wait()


@asynccontextmanager
async def serve(double: EngineDouble, folder: Path, **sections: Any) -> AsyncIterator[Served]:
    """`portico serve` with a configuration of its own, ready to answer."""
    async with started(double, folder, **sections) as served:
        await served.ready()
        yield served
