"""The whole of Portico in the test's own event loop, behind the protocol class that the workers use.

async with EngineDouble() as engine, portico(engine) as gate:
    reply = await gate.chat(messages=[...], stream=True)
"""

from __future__ import annotations

import asyncio
import atexit
import hashlib
import json
import logging
import os
import shutil
import socket
import tempfile
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager, contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from openai import AsyncOpenAI
from prometheus_client import CollectorRegistry, generate_latest

from server.app import Parts, WorkerPlace, build
from server.config import Config
from server.engines.engine import EngineAddress
from server.stores.sql.opening import open_durable
from server.telemetry.request_log import LineFormatter, LogWriter
from server.worker import QuietServer, http_server_config
from tests.behaviour.engine_double import EngineDouble
from tests.behaviour.wire import Reply, Wire

KEY = "sk-test-0123456789abcdef"
MODEL = "gpt-oss-20b"
MESSAGES = [{"role": "user", "content": "Hello!"}]
CHAT = "/v1/chat/completions"
COMPLETIONS = "/v1/completions"


def configuration(engines: tuple[EngineDouble, ...], **sections: Any) -> dict[str, Any]:
    """Engines are called one, two, ...; `engine` and `model` are settings of all engines and of the one model.

    `makes` are those of the engines in their order.
    """
    engine, model = sections.pop("engine", {}), sections.pop("model", {})
    makes = [{"make": make} for make in sections.pop("makes", ())] or [{}] * len(engines)
    names = ("one", "two", "three")[: len(engines)]
    tree: dict[str, Any] = {
        "server": {"first_event_grace_s": 1.0},
        "auth": {"static_keys": [{"name": "tester", "key_sha256": hashlib.sha256(KEY.encode()).hexdigest()}]},
        "engines": {
            name: {"url": one.url, **engine, **make} for name, one, make in zip(names, engines, makes, strict=True)
        },
        "models": {MODEL: {"engines": names, "aliases": ["gpt-4o-mini"], "context_length": 4096, **model}},
        "logging": {"format": "json"},
    }
    for name, section in sections.items():
        merge = isinstance(section, dict) and name != "models"
        tree[name] = {**tree.get(name, {}), **section} if merge else section
    return tree


class Gate:
    """A running Portico."""

    def __init__(
        self,
        parts: Parts,
        registry: CollectorRegistry,
        port: int,
        log: Path,
        writer: LogWriter,
        connections: Collection[Any],
        server_secret: bytes,
        database_url: str,
    ) -> None:
        self.server_secret = server_secret
        self.database_url = database_url
        self.parts = parts
        self.connections = connections
        self.port = port
        self.url = f"http://127.0.0.1:{port}/v1"
        self._registry = registry
        self._log = log
        self._writer = writer

    async def request(
        self, method: str, path: str, body: object = None, key: str | None = KEY, **headers: str
    ) -> Reply:
        """One request on a connection of its own. `body` is JSON unless it is bytes."""
        async with Wire(self.port) as wire:
            await wire.request(method, path, body, key, **headers)
            return await wire.reply()

    async def chat(self, **body: Any) -> Reply:
        return await self.request("POST", CHAT, {"model": MODEL, "messages": MESSAGES} | body)

    async def complete(self, **body: Any) -> Reply:
        return await self.request("POST", COMPLETIONS, {"model": MODEL, "prompt": "Once"} | body)

    @asynccontextmanager
    async def opened(self, path: str = CHAT, key: str = KEY, **body: Any) -> AsyncIterator[Wire]:
        """A request sent, its answer not read yet. Leaving closes the connection."""
        base = {"prompt": "Once"} if path == COMPLETIONS else {"messages": MESSAGES}
        async with Wire(self.port) as wire:
            await wire.request("POST", path, {"model": MODEL} | base | body, key)
            yield wire

    @asynccontextmanager
    async def sdk(self, **settings: Any) -> AsyncIterator[AsyncOpenAI]:
        async with AsyncOpenAI(base_url=self.url, **{"api_key": KEY, "max_retries": 0} | settings) as client:
            yield client

    def metric(self, name: str, **labels: str) -> float:
        """The value of a series; 0 if it does not exist."""
        self.parts.metrics.flush()
        return self._registry.get_sample_value(name, labels) or 0.0

    def total(self, name: str, **labels: str) -> float:
        """The sum over all series of `name` that have these labels."""
        self.parts.metrics.flush()
        return sum(
            sample.value
            for family in self._registry.collect()
            for sample in family.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        )

    def exposition(self) -> str:
        self.parts.metrics.flush()
        return generate_latest(self._registry).decode()

    def log_text(self) -> str:
        self._writer.flush()
        return self._log.read_text(encoding="utf-8")

    def log_lines(self) -> list[dict[str, Any]]:
        """The lines of requests. Every line of the log must be JSON."""
        lines = [json.loads(line) for line in self.log_text().splitlines()]
        return [line for line in lines if line["msg"] == "request"]


class PromptServer(QuietServer):
    """uvicorn without the tenths of a second that it waits when it should stop."""

    async def main_loop(self) -> None:
        self.ending = asyncio.Event()
        await self.on_tick(0)
        await self.ending.wait()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for one in (*self.servers, *(sockets or ())):
            one.close()
        if self.server_state.tasks:
            await asyncio.wait(self.server_state.tasks, timeout=1)
        await self.lifespan.shutdown()

    async def end(self) -> None:
        for connection in tuple(self.server_state.connections):
            connection.transport.abort()  # type: ignore[union-attr]
        await asyncio.sleep(0)
        self.should_exit = True
        self.ending.set()


@cache
def new_database() -> tuple[Path, bytes]:
    """A database that was just made, to be copied (it takes a while to make one), and its secret."""
    folder = Path(tempfile.mkdtemp(prefix="portico-database-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)

    async def make() -> bytes:
        store = await open_durable("sqlite:///portico.db", folder)
        try:
            return await store.server_secret()
        finally:
            await store.close()

    return folder / "portico.db", asyncio.run(make())


@asynccontextmanager
async def portico(*engines: EngineDouble, ready: bool = True, **sections: Any) -> AsyncIterator[Gate]:
    """Serve until the block ends. `ready=False` does not wait until every engine is up."""
    with tempfile.TemporaryDirectory(prefix="portico-state-", ignore_cleanup_errors=True) as folder:
        async with _portico(engines, ready, Path(folder), sections) as gate:
            yield gate


@asynccontextmanager
async def _portico(
    engines: tuple[EngineDouble, ...], ready: bool, folder: Path, sections: dict[str, Any]
) -> AsyncIterator[Gate]:
    template, secret = await asyncio.to_thread(new_database)
    at_hand = {"durable": f"sqlite:///{folder}/portico.db", "spool": f"{folder}/spool"}
    stores = sections["stores"] = at_hand | sections.get("stores", {})
    sections["files"] = {"folder": f"{folder}/files"} | sections.get("files", {})
    database = Path(stores["durable"].removeprefix("sqlite:///"))
    if not database.exists():  # noqa: ASYNC240
        shutil.copyfile(template, database)
    config = Config.model_validate(configuration(engines, **sections))
    addresses = {name: EngineAddress(engine.url or "", engine.api_key) for name, engine in config.engines.items()}
    registry = CollectorRegistry()
    with tempfile.NamedTemporaryFile(prefix="portico-log-") as file, socket.socket() as listener:
        writer = LogWriter(os.open(file.name, os.O_WRONLY | os.O_APPEND))
        parts = build(config, addresses, registry, writer, WorkerPlace(0, secret))
        listener.bind(("127.0.0.1", 0))
        listener.listen(128)
        server = PromptServer(http_server_config(config, parts))
        with logging_to(Path(file.name)):
            task = asyncio.create_task(server.serve(sockets=[listener]))
            try:
                await eventually(lambda: server.started, 30)
                if ready:
                    await eventually(lambda: all(engine.up for engine in parts.engines.values()), 30)
                port, open_connections = listener.getsockname()[1], server.server_state.connections
                url = config.stores.durable
                yield Gate(parts, registry, port, Path(file.name), writer, open_connections, secret, url)
            finally:
                await server.end()
                await asyncio.wait_for(task, 5)


@contextmanager
def logging_to(path: Path) -> Any:
    """Everything that is logged goes where the request lines go."""
    handler = logging.FileHandler(path, "a", encoding="utf-8")
    handler.setFormatter(LineFormatter(as_json=True))
    root = logging.getLogger()
    root.addHandler(handler)
    before, root.level = root.level, logging.INFO
    logging.getLogger("uvicorn").setLevel(logging.ERROR)
    try:
        yield
    finally:
        root.removeHandler(handler)
        root.level = before
        handler.close()


async def eventually(condition: Callable[[], object], within_s: float = 15.0) -> None:
    """Wait until the condition holds. Raises AssertionError."""
    deadline = asyncio.get_running_loop().time() + within_s
    while not condition():
        if asyncio.get_running_loop().time() > deadline:
            raise AssertionError("it did not come to that in time")
        await asyncio.sleep(0.002)
