"""One gateway process: `python -m server.worker`, started by the parent with its settings on standard input.

Standard input stays open as a lifeline: when it ends, the parent is gone and the worker stops too.
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
from typing import Any

import uvicorn
import uvloop
from prometheus_client import CollectorRegistry

from server.api.protocol import HttpSettings, protocol_class
from server.app import EngineAddress, Parts, WorkerPlace, build
from server.config import Config
from server.telemetry.metrics import use_worker_slot
from server.telemetry.request_log import LineFormatter, LogWriter

FORCE_AFTER_GRACE_S = 5.0
BACKLOG = 4096
SWITCH_S = 0.0001  # for so long a thread (of the database) may hold up the event loop; 5 ms by default
GC_ALLOCATIONS = 20_000  # container objects between two collections; a request makes about a hundred


class QuietServer(uvicorn.Server):
    """uvicorn without its signal handling, which would end the process by the signal and not with status 0."""

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        yield


def main() -> int:
    settings: dict[str, Any] = json.loads(sys.stdin.buffer.readline())
    config = Config.model_validate(settings["config"])
    addresses = {name: EngineAddress(**address) for name, address in settings["addresses"].items()}
    use_worker_slot(settings["slot"])
    as_json = config.logging.format != "text"
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(LineFormatter(as_json=as_json, on_terminal=sys.stdout.isatty()))
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    logging.getLogger("uvicorn").setLevel(logging.ERROR)
    folder = Path(os.environ["PROMETHEUS_MULTIPROC_DIR"])
    worker = WorkerPlace(settings["slot"], bytes.fromhex(settings["secret"]), folder)
    parts = build(config, addresses, CollectorRegistry(), LogWriter(sys.stdout.fileno()), worker)
    listener = socket.socket(fileno=settings["fd"])
    _settle_garbage_collector()
    sys.setswitchinterval(SWITCH_S)
    uvloop.run(serve(config, parts, listener))
    return 0


def _settle_garbage_collector() -> None:
    """What exists now lives as long as the worker: keep the collector from walking it for every few requests."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(GC_ALLOCATIONS, 20, 50)


async def serve(config: Config, parts: Parts, listener: socket.socket) -> None:
    """Until SIGTERM, SIGINT or the end of standard input; then drain."""
    server = QuietServer(http_server_config(config, parts))
    loop = asyncio.get_running_loop()
    stop, hurry = asyncio.Event(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, _next, stop, hurry)
    loop.add_reader(sys.stdin.fileno(), _lifeline, stop)
    drain = loop.create_task(_drain(config, parts, server, stop, hurry), name="drain")
    await server.serve(sockets=[listener])
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


def _next(*events: asyncio.Event) -> None:
    """Set the first of them that is not set."""
    for event in events:
        if not event.is_set():
            event.set()
            return


def _lifeline(stop: asyncio.Event) -> None:
    if not os.read(sys.stdin.fileno(), 4096):
        asyncio.get_running_loop().remove_reader(sys.stdin.fileno())
        stop.set()


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
