"""One gateway process: `python -m server.worker`, started by the parent with its settings on standard input.

Standard input stays open. Further lines are commands: `{"drained": [...]}` names the engines that get no more calls,
`{"retire": seconds}` says that another process has taken its place. When it ends, the parent is gone and the worker
stops too.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import logging
import os
import signal
import socket
import sys
from collections.abc import Generator
from pathlib import Path
from typing import Any, cast

import uvicorn
import uvloop
from prometheus_client import CollectorRegistry

from server.api.protocol import HttpSettings, Protocol
from server.api.repeating import protocol_class
from server.app import Parts, WorkerPlace, build
from server.config import Config
from server.engines.engine import EngineAddress
from server.telemetry.metrics import use_worker_slot
from server.telemetry.request_log import LineFormatter, LogWriter

FORCE_AFTER_GRACE_S = 5.0
BACKLOG = 4096
RETIRE_POLL_S = 0.1
SWITCH_S = 0.0001  # for so long a thread (of the database) may hold up the event loop; 5 ms by default
GC_ALLOCATIONS = 20_000  # container objects between two collections; a request makes about a hundred


class QuietServer(uvicorn.Server):
    """uvicorn without its signal handling, which would end the process by the signal and not with status 0.

    It writes a byte to `ready`, if it has it, once it serves, and closes it when it takes no more connections.
    """

    def __init__(self, config: uvicorn.Config, ready: socket.socket | None = None) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self._ready is not None and self.started:
            with contextlib.suppress(OSError):
                self._ready.send(b"1")

    async def retire(self, grace_s: float) -> None:
        """Take no more connections, and wait until those that there are have ended by themselves, or for so long.

        An unused one may stay, as no client can know that it must not send another request on it now. It is closed with
        the answer to that, or after its idle time.
        """
        for one in self.servers:
            one.close()
        if self._ready is not None:
            self._ready.close()
        protocol_of(self.config).leaving = True
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(grace_s):
                while self.server_state.connections:  # noqa: ASYNC110 - uvicorn tells nobody
                    await asyncio.sleep(RETIRE_POLL_S)

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        yield


def main() -> int:
    with open(0, "rb", buffering=0, closefd=False) as line:  # not a byte more: the next lines are read by the loop
        settings: dict[str, Any] = json.loads(line.readline())
    config = Config.model_validate(settings["config"])
    addresses = {name: EngineAddress(**address) for name, address in settings["addresses"].items()}
    use_worker_slot(settings["seat"])
    as_json = config.logging.format != "text"
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(LineFormatter(as_json=as_json, on_terminal=sys.stdout.isatty()))
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    logging.getLogger("uvicorn").setLevel(logging.ERROR)
    folder = Path(os.environ["PROMETHEUS_MULTIPROC_DIR"])
    worker = WorkerPlace(settings["slot"], bytes.fromhex(settings["secret"]), settings["seat"], folder)
    parts = build(config, addresses, CollectorRegistry(), LogWriter(sys.stdout.fileno()), worker)
    parts.drain(settings["drained"])
    listener = socket.socket(fileno=settings["fd"])
    ready = socket.socket(fileno=settings["ready_fd"])
    _settle_garbage_collector()
    sys.setswitchinterval(SWITCH_S)
    uvloop.run(serve(config, parts, listener, ready))
    return 0


def _settle_garbage_collector() -> None:
    """What exists now lives as long as the worker: keep the collector from walking it for every few requests."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(GC_ALLOCATIONS, 20, 50)


async def serve(config: Config, parts: Parts, listener: socket.socket, ready: socket.socket) -> None:
    """Until SIGTERM, SIGINT, the end of standard input, or the end of its retirement; then drain."""
    server = QuietServer(http_server_config(config, parts), ready)
    loop = asyncio.get_running_loop()
    stop, hurry = asyncio.Event(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, _next, stop, hurry)
    orders = Orders(parts, server, stop)
    loop.add_reader(sys.stdin.fileno(), orders.read)
    drain = loop.create_task(_drain(config, parts, server, stop, hurry), name="drain")
    await server.serve(sockets=[listener])
    orders.close()
    drain.cancel()
    await asyncio.gather(drain, return_exceptions=True)


def http_server_config(config: Config, parts: Parts) -> uvicorn.Config:
    """How uvicorn serves `parts`."""
    tls = config.server.tls
    settings = HttpSettings(
        parts.relays,
        parts.refusals,
        max_head_bytes=config.server.max_header_bytes,
        stall_s=config.server.client_timeout_s,
        idle_s=config.server.idle_timeout_s,
        preflights=bool(config.server.cors_origins),
    )
    return uvicorn.Config(
        parts.app,
        http=protocol_class(settings),
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        backlog=BACKLOG,
        timeout_graceful_shutdown=int(config.server.shutdown_grace_s + FORCE_AFTER_GRACE_S),
        ssl_certfile=tls.cert,
        ssl_keyfile=tls.key,
    )


def protocol_of(config: uvicorn.Config) -> type[Protocol]:
    """The class of all connections of this server."""
    return cast("type[Protocol]", config.http_protocol_class)


def _next(*events: asyncio.Event) -> None:
    """Set the first of them that is not set."""
    for event in events:
        if not event.is_set():
            event.set()
            return


class Orders:
    """What the parent says on standard input."""

    def __init__(self, parts: Parts, server: QuietServer, stop: asyncio.Event) -> None:
        self._parts = parts
        self._server = server
        self._stop = stop
        self._line = b""
        self._retiring: asyncio.Task[None] | None = None

    def read(self) -> None:
        """There is something, or it has ended."""
        data = os.read(sys.stdin.fileno(), 65536)
        if not data:
            asyncio.get_running_loop().remove_reader(sys.stdin.fileno())
            self._stop.set()
            return
        *lines, self._line = (self._line + data).split(b"\n")
        for line in lines:
            self._obey(json.loads(line))

    def close(self) -> None:
        if self._retiring is not None:
            self._retiring.cancel()

    def _obey(self, order: dict[str, Any]) -> None:
        if "drained" in order:
            self._parts.drain(order["drained"])
        if "retire" in order and self._retiring is None:
            self._retiring = asyncio.get_running_loop().create_task(self._retire(order["retire"]), name="retire")

    async def _retire(self, grace_s: float) -> None:
        await self._server.retire(grace_s)
        self._stop.set()


async def _drain(
    config: Config, parts: Parts, server: uvicorn.Server, stop: asyncio.Event, hurry: asyncio.Event
) -> None:
    await stop.wait()
    parts.gateway.drain()
    server.should_exit = True  # closes the listener; open calls go on
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(config.server.shutdown_grace_s):
            await hurry.wait()
    parts.gateway.end_all()


if __name__ == "__main__":
    sys.exit(main())
