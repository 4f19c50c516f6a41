"""`portico serve`: the parent process. It chooses the engine, starts workers, shows what is going on, ends everything."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import signal
import socket
import ssl
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from server.app import EngineAddress
from server.commands.devkey import with_development_key
from server.commands.screen import Waiting, ready_screen
from server.config import Config, home, load
from server.telemetry.exposition import MetricsListener
from server.telemetry.request_log import LineFormatter
from server.workers import CannotListen, Workers, listeners

if TYPE_CHECKING:
    Subparsers = argparse._SubParsersAction[argparse.ArgumentParser]  # pyright: ignore[reportPrivateUsage]

READY_POLL_S = 0.25


def add_serve_command(commands: Subparsers) -> None:
    serve = commands.add_parser("serve", help="serve the API")
    serve.add_argument("--config", type=Path, metavar="FILE", help="default: $PORTICO_CONFIG, else the shipped one")
    serve.add_argument("--host", help="overrides server.host")
    serve.add_argument("--port", type=int, help="overrides server.port")
    serve.add_argument("--workers", type=int, metavar="N", help="overrides server.workers")
    serve.set_defaults(run=_serve)


def _serve(arguments: argparse.Namespace) -> int:
    chosen = {f"server.{name}": getattr(arguments, name) for name in ("host", "port", "workers")}
    config = load(arguments.config, overrides={key: value for key, value in chosen.items() if value is not None})
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    config, key = with_development_key(config, home())
    config = _with_log_format(config)
    _log_to_stdout(as_json=config.logging.format == "json")
    try:
        return asyncio.run(Service(config, key, console).run())
    except CannotListen as error:
        print(f"portico: {error}", file=sys.stderr)
        return 1


def _with_log_format(config: Config) -> Config:
    """Decide `auto` here: the workers cannot see the terminal's wishes better than their parent."""
    if config.logging.format != "auto":
        return config
    form = "text" if sys.stdout.isatty() else "json"
    return config.model_copy(update={"logging": config.logging.model_copy(update={"format": form})})


def _log_to_stdout(*, as_json: bool) -> None:
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(LineFormatter(as_json=as_json))
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)


class Service:
    """Everything that runs under one `portico serve`."""

    def __init__(self, config: Config, key: str | None, console: Console) -> None:
        self._config = config
        self._key = key
        self._console = console

    async def run(self) -> int:
        """Until SIGTERM or SIGINT. Raises `CannotListen`."""
        server, metrics = self._config.server, self._config.metrics
        public = listeners(server.host, server.port, server.workers, "server.port (--port)")
        scraped = listeners(metrics.host, metrics.port, 1, "metrics.port")[0]
        workers = Workers(self._config, self._addresses(), public)
        exposition = MetricsListener(workers.metrics_folder, scraped, metrics.token)
        stop = self._stop_signal()
        workers.start()
        exposition.start()
        greeting = asyncio.get_running_loop().create_task(self._greet(public[0], scraped), name="greeting")
        await stop.wait()
        greeting.cancel()
        await asyncio.gather(greeting, return_exceptions=True)
        self._console.print(f"Stopping: open calls may finish within {server.shutdown_grace_s:g} s.")
        await workers.stop()
        exposition.stop()
        return 0

    def _addresses(self) -> Mapping[str, EngineAddress]:
        return {
            name: EngineAddress(engine.url or "", engine.api_key) for name, engine in self._config.engines.items()
        }

    def _stop_signal(self) -> asyncio.Event:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        return stop

    async def _greet(self, public: socket.socket, scraped: socket.socket) -> None:
        """Wait until an engine can answer, then show how to call it."""
        tls = self._config.server.tls.cert is not None
        with Waiting(self._console) as waiting:
            while not await self._ready(public):
                waiting.update("waiting for the engine")
                await asyncio.sleep(READY_POLL_S)
        base = _url(public, "https" if tls else "http", self._config.server.host)
        metrics = _url(scraped, "http", self._config.metrics.host)
        text = ready_screen(self._config, f"{base}/v1", f"{metrics}/metrics", self._key)
        self._console.print(text, markup=False)

    async def _ready(self, public: socket.socket) -> bool:
        """Ask our own /readyz, as a load balancer would."""
        host, port = public.getsockname()[:2]
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104
        tls = _unverified() if self._config.server.tls.cert else None
        try:
            async with asyncio.timeout(2):
                reader, writer = await asyncio.open_connection(host, port, ssl=tls)
                with contextlib.closing(writer):
                    writer.write(b"GET /readyz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
                    return (await reader.readline()).startswith(b"HTTP/1.1 200")
        except (OSError, TimeoutError):
            return False


def _unverified() -> ssl.SSLContext:
    """For asking ourselves on loopback: the certificate is for another name."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _url(bound: socket.socket, scheme: str, host: str) -> str:
    shown = "127.0.0.1" if host in ("0.0.0.0", "::") else host  # noqa: S104
    return f"{scheme}://{f'[{shown}]' if ':' in shown else shown}:{bound.getsockname()[1]}"
