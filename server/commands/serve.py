"""`portico serve`: the parent process. It chooses the engine, starts workers, shows what goes on, ends everything."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import os
import secrets
import signal
import socket
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Mapping
from functools import partial
from importlib.metadata import version
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING

from rich.console import Console

from server.commands.control import Refused, Request, control_socket, socket_path
from server.commands.devkey import with_development_key
from server.commands.loopback import own_host, unverified
from server.commands.screen import Waiting, ready_screen
from server.config import Config, ConfigError, Model, home, load, reloaded
from server.engines.engine import EngineAddress
from server.engines.managed import EngineSetupError, EngineState, EngineSupervisor, Plan, Prepared, prepare
from server.stores.base import AccessRefused, StoreDown, StoreError
from server.stores.sql.opening import open_durable
from server.telemetry.exposition import MetricsListener
from server.telemetry.request_log import LineFormatter
from server.telemetry.service import service_registry
from server.usage import usage_log
from server.usage.folder import SpoolError
from server.workers import CannotListen, CannotServe, Settings, Workers, listeners

if TYPE_CHECKING:
    Subparsers = argparse._SubParsersAction[argparse.ArgumentParser]  # pyright: ignore[reportPrivateUsage]

READY_POLL_S = 0.25
DATABASE_S = 30.0  # for a database that is started at the same time
DATABASE_POLL_S = 3.0
STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)
Reload = Callable[[], Awaitable[str]]
log = logging.getLogger("portico")


def add_serve_command(commands: Subparsers) -> None:
    serve = commands.add_parser("serve", help="serve the API")
    serve.add_argument("--config", type=Path, metavar="FILE", help="default: $PORTICO_CONFIG, else the shipped one")
    serve.add_argument("--host", help="overrides server.host")
    serve.add_argument("--port", type=int, help="overrides server.port")
    serve.add_argument("--workers", type=int, metavar="N", help="overrides server.workers")
    serve.set_defaults(run=_serve)


def _serve(arguments: argparse.Namespace) -> int:
    chosen = {f"server.{name}": getattr(arguments, name) for name in ("host", "port", "workers")}
    read = partial(load, arguments.config, overrides={key: one for key, one in chosen.items() if one is not None})
    loaded = read()
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    config, key = with_development_key(loaded, home())
    config = _with_log_format(config)
    _log_to_stdout(as_json=config.logging.format == "json")
    try:
        usage_log.check(home() / config.stores.spool)
        secret = asyncio.run(_open_database(config, console))
        prepared = _prepare(config, console)
        if prepared is not None:
            config = with_planned_models(config, prepared.plan)
        return asyncio.run(Service(config, prepared, key, secret, console, Reading(read, loaded)).run())
    except (CannotListen, CannotServe, EngineSetupError, SpoolError, StoreError) as error:
        text = str(error)
        print(f"portico: {text[:1].upper()}{text[1:]}", file=sys.stderr)
        return 1


async def _open_database(config: Config, console: Console) -> bytes:
    """Bring the database up to date, before any worker needs it; its secret. Raises `StoreError`."""
    deadline, waiting = monotonic() + DATABASE_S, False
    while True:
        try:
            store = await open_durable(config.stores.durable, home())
            break
        except StoreDown as error:
            if isinstance(error, AccessRefused) or monotonic() > deadline:
                raise
            if not waiting:
                console.print(f"Waiting for the database, {DATABASE_S:g} s at most: {error}", markup=False)
            waiting = True
            await asyncio.sleep(DATABASE_POLL_S)
    try:
        return await store.server_secret()
    finally:
        await store.close()


def _prepare(config: Config, console: Console) -> Prepared | None:
    """Say which engine answers and why, and install it if it is ours to run. Raises `EngineSetupError`."""
    for name, engine in config.engines.items():
        if engine.url is not None:
            console.print(f"Engine {name}: {engine.url}, as configured.", markup=False)
    managed = next((engine.managed for engine in config.engines.values() if engine.managed), None)
    return prepare(managed, home(), console) if managed else None


def with_planned_models(config: Config, plan: Plan) -> Config:
    """The configuration with the managed engine's model: served as it is, or under the names that are configured."""
    name = next(name for name, engine in config.engines.items() if engine.managed)
    models = {
        model_id: model.model_copy(update={"engine_model": plan.model_id})
        if name in model.engines and model.engine_model is None
        else model
        for model_id, model in config.models.items()
    }
    if not models:
        models[plan.model_id] = Model(
            engines=(name,),
            aliases=plan.aliases,
            context_length=plan.context_length,
            description=plan.description,
            defaults=plan.defaults,
        )
    return config.model_copy(update={"models": models})


def _with_log_format(config: Config) -> Config:
    """Decide `auto` here: the workers cannot see the terminal's wishes better than their parent."""
    if config.logging.format != "auto":
        return config
    form = "text" if sys.stdout.isatty() else "json"
    return config.model_copy(update={"logging": config.logging.model_copy(update={"format": form})})


def _log_to_stdout(*, as_json: bool) -> None:
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(LineFormatter(as_json=as_json, on_terminal=sys.stdout.isatty()))
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)


class Reading:
    """The configuration as it is read, before anything is added to it; and again."""

    def __init__(self, read: Callable[[], Config], loaded: Config) -> None:
        self._read = read
        self._loaded = loaded

    def again(self, prepared: Prepared | None) -> tuple[Config, Config, list[str]]:
        """What was read, what is to be served for it, and the keys that cannot change. Raises `ConfigError`."""
        read, kept = reloaded(self._loaded, self._read())
        config, _ = with_development_key(read, home())
        config = _with_log_format(config)
        return read, config if prepared is None else with_planned_models(config, prepared.plan), kept

    def served(self, read: Config) -> None:
        self._loaded = read


class Service:
    """Everything that runs under one `portico serve`."""

    def __init__(
        self,
        config: Config,
        prepared: Prepared | None,
        key: str | None,
        server_secret: bytes,
        console: Console,
        reading: Reading,
    ) -> None:
        self._config = config
        self._reading = reading
        self._reloading = asyncio.Lock()
        self._reloads: set[asyncio.Task[None]] = set()
        self._on_terminal = os.isatty(sys.stderr.fileno())
        self._drained: set[str] = set()
        self._server_secret = server_secret
        self._prepared = prepared
        self._key = key
        self._console = console
        self._engine_state: EngineState | None = None
        self._engine_key = "sk-" + secrets.token_urlsafe(24)

    async def run(self) -> int:
        """Until one of `STOP_SIGNALS`. Raises `CannotListen`, `CannotServe`, `EngineSetupError` if it cannot begin."""
        server, metrics = self._config.server, self._config.metrics
        public = listeners(server.host, server.port, server.workers, "server.port (--port)")
        scraped = listeners(metrics.host, metrics.port, 1, "metrics.port (PORTICO__METRICS__PORT; 0 takes a free one)")[
            0
        ]
        stop = asyncio.Event()
        self._on_stop_signal(stop.set)
        async with self._engine() as supervisor:
            workers = Workers(self._settings(self._config, supervisor), public, self._server_secret)
            exposition = MetricsListener(
                workers.metrics_folder, scraped, metrics.token, service_registry(version("portico"), server.tls.cert)
            )
            workers.start()
            exposition.start()
            reload = partial(self._reload, workers, supervisor)
            self._on_hangup(stop, reload)
            try:
                async with control_socket(socket_path(self._config, home()), partial(self._obey, workers, reload)):
                    await self._until(stop, workers.failed(), self._greet(supervisor, public[0], scraped))
                self._say(
                    f"Stopping: open calls may finish within {server.shutdown_grace_s:g} s; Ctrl-C again ends them."
                )
                self._on_stop_signal(workers.hurry)
            finally:
                for task in self._reloads:
                    task.cancel()
                await asyncio.gather(*self._reloads, return_exceptions=True)
                await workers.stop()
                exposition.stop()
        _ignore_signals()
        return 0

    @contextlib.asynccontextmanager
    async def _engine(self) -> AsyncGenerator[EngineSupervisor | None]:
        """The managed engine, if there is one, for as long as the workers run."""
        if self._prepared is None:
            yield None
            return
        one = self._prepared
        supervisor = EngineSupervisor(
            one.plan, one.installed, one.log_path, self._engine_key, self._note, record_path=one.record_path
        )
        await supervisor.start()
        try:
            yield supervisor
        finally:
            await supervisor.stop()

    def _note(self, state: EngineState) -> None:
        before, self._engine_state = self._engine_state, state
        if state.state in ("down", "failed") and (before is None or before.state != state.state):
            log.error("engine %s: %s; next start in %.0f s", state.state, state.detail, state.retry_after_s or 0)

    async def _obey(self, workers: Workers, reload: Reload, request: Request) -> str:
        """Do what a command asks for. Raises `Refused`."""
        command, engine = request.get("command"), request.get("engine")
        if command == "reload":
            return await reload()
        if command not in ("drain", "undrain"):
            raise Refused("This version knows no such command: is the service older or newer than the command?")
        if engine not in self._config.engines:
            raise Refused(f"No engine is called {engine}. Engines: {', '.join(self._config.engines)}.")
        (self._drained.add if command == "drain" else self._drained.discard)(engine)
        workers.drain(frozenset(self._drained))
        if command == "undrain":
            return f"Engine {engine} gets calls again."
        return f"Engine {engine} gets no more calls; `portico status` shows how many it still has."

    async def _reload(self, workers: Workers, supervisor: EngineSupervisor | None) -> str:
        """Serve what the configuration says now. Raises `Refused`: it goes on as it was."""
        async with self._reloading:
            try:
                read, config, kept = await asyncio.to_thread(self._reading.again, self._prepared)
                await workers.replace(self._settings(config, supervisor))
            except (ConfigError, CannotServe) as error:
                log.error("not reloaded, the old configuration goes on: %s", error)
                raise Refused(f"Not reloaded, the old configuration goes on: {error}") from None
            self._reading.served(read)
            self._config = config
            done = "The configuration was loaded anew."
            if kept:
                done += f" Of it these need a restart and are as before: {', '.join(kept)}."
            log.info("%s", done)
            return done

    def _say(self, text: str) -> None:
        with contextlib.suppress(OSError):  # the terminal may be what has gone
            self._console.print(text)

    def _on_hangup(self, stop: asyncio.Event, reload: Reload) -> None:
        """SIGHUP means to load the configuration anew; but from a terminal that was closed, to end."""
        loop = asyncio.get_running_loop()

        async def again() -> None:
            with contextlib.suppress(Refused):  # it is in the log
                await reload()

        def hangup() -> None:
            if self._on_terminal and not os.isatty(sys.stderr.fileno()):
                stop.set()
                return
            task = loop.create_task(again(), name="reload")
            self._reloads.add(task)
            task.add_done_callback(self._reloads.discard)

        loop.add_signal_handler(signal.SIGHUP, hangup)

    def _settings(self, config: Config, supervisor: EngineSupervisor | None) -> Settings:
        return Settings(config, self._addresses(config, supervisor))

    def _addresses(self, config: Config, supervisor: EngineSupervisor | None) -> Mapping[str, EngineAddress]:
        """Where every engine is: as configured, or where the managed one was started."""
        addresses: dict[str, EngineAddress] = {}
        for name, engine in config.engines.items():
            if engine.url is not None:
                addresses[name] = EngineAddress(engine.url, engine.api_key)
            elif supervisor is not None:
                addresses[name] = EngineAddress(supervisor.base_url, self._engine_key)
        return addresses

    def _on_stop_signal(self, action: Callable[[], None]) -> None:
        for number in STOP_SIGNALS:
            asyncio.get_running_loop().add_signal_handler(number, action)

    async def _until(
        self, stop: asyncio.Event, failure: Coroutine[None, None, None], greeting: Coroutine[None, None, None]
    ) -> None:
        """Greet meanwhile. A greeting or worker that fails (nothing can be served at all) ends the service."""
        loop = asyncio.get_running_loop()
        greet, failed = loop.create_task(greeting, name="greeting"), loop.create_task(failure, name="failure")
        stopped = loop.create_task(stop.wait(), name="stop")
        try:
            await asyncio.wait((greet, failed, stopped), return_when=asyncio.FIRST_COMPLETED)
            if greet.done():
                await greet
                await asyncio.wait((failed, stopped), return_when=asyncio.FIRST_COMPLETED)
            if not stopped.done():
                await failed
        finally:
            for task in (greet, failed, stopped):
                task.cancel()
            await asyncio.gather(greet, failed, stopped, return_exceptions=True)

    async def _greet(self, supervisor: EngineSupervisor | None, public: socket.socket, scraped: socket.socket) -> None:
        """Wait until an engine can answer, then show how to call it. Raises `EngineSetupError`."""
        tls = self._config.server.tls.cert is not None
        with Waiting(self._console) as waiting:
            first_start = asyncio.get_running_loop().create_task(_first_start(supervisor))
            try:
                while not await self._ready(public):
                    if first_start.done():
                        first_start.result()
                    waiting.update(self._doing())
                    await asyncio.sleep(READY_POLL_S)
            finally:
                first_start.cancel()
                await asyncio.gather(first_start, return_exceptions=True)
        base = _url(public, "https" if tls else "http", self._config.server.host)
        metrics = _url(scraped, "http", self._config.metrics.host)
        text = ready_screen(self._config, f"{base}/v1", f"{metrics}/metrics", self._key)
        self._console.print(text, markup=False)

    def _doing(self) -> str:
        state = self._engine_state
        if state is None or state.state != "starting":
            return "Waiting for an engine"
        return f"Engine loading{f' ({state.phase})' if state.phase else ''}"

    async def _ready(self, public: socket.socket) -> bool:
        """Ask our own /readyz, as a load balancer would."""
        host, port = public.getsockname()[:2]
        host = own_host(host)
        tls = unverified() if self._config.server.tls.cert else None
        try:
            async with asyncio.timeout(2):
                reader, writer = await asyncio.open_connection(host, port, ssl=tls)
                with contextlib.closing(writer):
                    writer.write(b"GET /readyz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
                    return (await reader.readline()).startswith(b"HTTP/1.1 200")
        except (OSError, TimeoutError):
            return False


async def _first_start(supervisor: EngineSupervisor | None) -> None:
    if supervisor is not None:
        await supervisor.wait_ready()


def _ignore_signals() -> None:
    """Everything has ended well: a second SIGTERM that comes now must not make it look otherwise."""
    loop = asyncio.get_running_loop()
    for number in (*STOP_SIGNALS, signal.SIGHUP):
        loop.remove_signal_handler(number)
        signal.signal(number, signal.SIG_IGN)


def _url(bound: socket.socket, scheme: str, host: str) -> str:
    shown = "127.0.0.1" if host in ("0.0.0.0", "::") else host  # noqa: S104
    return f"{scheme}://{f'[{shown}]' if ':' in shown else shown}:{bound.getsockname()[1]}"
