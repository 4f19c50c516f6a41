"""The composition root: the only file that names concrete parts, builds them once and hands them to each other."""

from __future__ import annotations

import secrets
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from time import perf_counter, time
from typing import Any

from fastapi import FastAPI, Request, Response
from prometheus_client import CollectorRegistry
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.types import Receive, Scope, Send

from server.admission.admission import Admission
from server.admission.slots import share
from server.answers.calls import true_calls
from server.answers.leaks import cut_leaks
from server.answers.logprobs import answer_logprobs
from server.answers.stage import NewStage, Stage
from server.answers.stop import stop_texts
from server.answers.usage import usage_as_asked
from server.api.calls import CallFactory, Catalogue
from server.api.cors import EXPOSED
from server.api.describe import describe
from server.api.http import answer_headers, client_request_id, error_headers, new_request_id, pairs
from server.api.relay import Relay
from server.api.routes import health_routes, model_routes
from server.auth.keys import KeyRing
from server.call import Call, ServedModel
from server.config import Config
from server.engines.engine import Engine
from server.engines.salts import CacheSalts
from server.errors import GatewayError, InvalidApiKey, InvalidRequest, MethodNotAllowed, UnknownRoute
from server.gateway import Gateway, as_gateway_error
from server.telemetry.metrics import Metrics
from server.telemetry.refusals import Refusals
from server.telemetry.request_log import LogWriter, RequestLog
from server.watchdog import Watchdog

PLAIN_ENDPOINTS = ("models", "healthz", "readyz", "openapi.json")
UNCOUNTED = ("healthz", "readyz")  # asked every few seconds by machines


@dataclass(frozen=True)
class EngineAddress:
    """Where an engine of the configuration is, once a managed one has its port and key."""

    url: str
    api_key: str | None


class Portico(FastAPI):
    """FastAPI with OpenAI's headers and a log line on everything."""

    def __init__(self, refusals: Refusals, **settings: Any) -> None:
        super().__init__(**settings)
        self._refusals = refusals

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await super().__call__(scope, receive, send)
            return
        answer = _PlainAnswer(scope, send)
        try:
            await super().__call__(scope, receive, answer.send)
        except Exception as error:  # the client has been answered by `_any_error`
            as_gateway_error(error, answer.id)
        finally:
            if answer.endpoint not in UNCOUNTED:
                self._refusals.note(answer.id, answer.endpoint, answer.status, answer.outcome(), answer.seconds())


class _PlainAnswer:
    """The answer of one of FastAPI's own routes: adds the headers, notes the status."""

    def __init__(self, scope: Scope, send: Send) -> None:
        self._headers = dict[bytes, bytes](scope["headers"])
        self._send = send
        self._started = perf_counter()
        self.id = new_request_id()
        self.status = 500
        # A bounded name and not the path, which is the client's text.
        first = scope["path"].removeprefix("/v1").lstrip("/").partition("/")[0]
        self.endpoint = first if first in PLAIN_ENDPOINTS else "unknown"

    async def send(self, message: Any) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            extra = pairs(answer_headers(self.id, client_request_id(self._headers), self._started))
            message["headers"] = [*message.get("headers", ()), *extra]
        await self._send(message)

    def outcome(self) -> str:
        if self.status < 400:
            return "ok"
        if self.status >= 500:
            return GatewayError.outcome
        return InvalidApiKey.outcome if self.status == 401 else InvalidRequest.outcome

    def seconds(self) -> float:
        return perf_counter() - self._started


@dataclass(frozen=True)
class Parts:
    """What a worker and the tests need to reach: the ASGI app, and the paths that are answered before it."""

    app: Any
    relays: Mapping[str, Relay]
    refusals: Refusals
    gateway: Gateway
    engines: Mapping[str, Engine]
    watchdog: Watchdog
    metrics: Metrics


def build(
    config: Config,
    addresses: Mapping[str, EngineAddress],
    registry: CollectorRegistry,
    log: LogWriter | None,
    *,
    worker: int = 0,
    secret: bytes | None = None,
) -> Parts:
    """Everything that serves `config`, as worker number `worker` of `config.server.workers`.

    `addresses` gives the URL and key of every engine of `config.engines`. All workers must have the same `secret`, from
    which the cache salts are made; None takes one that lasts as long as this process.
    """
    watchdog = Watchdog()
    metrics = Metrics(registry)
    request_log = RequestLog(log if config.logging.requests else None, as_json=config.logging.format != "text")
    engines = _engines(config, addresses, watchdog, worker)
    started = int(time())
    models = {name: ServedModel(name, model, started) for name, model in config.models.items()}
    catalogue = Catalogue(models)
    fleets = {name: [engines[engine] for engine in model.engines] for name, model in config.models.items()}
    admission = Admission(config.admission, fleets)
    metrics.queued = admission.waiting
    for engine in engines.values():
        engine.on_change = partial(_engine_changed, metrics, admission)
    keys = KeyRing(config.auth.static_keys, config.limits.default, open_to_all=config.auth.mode == "none")
    gateway = Gateway(admission, tuple(_stages(metrics).values()), watchdog, metrics, request_log)
    salts = CacheSalts(secret or secrets.token_bytes(32))
    factory = CallFactory(catalogue, config.server.max_json_depth, salts.of)
    refusals = Refusals(metrics, request_log)
    relay = partial(Relay, gateway=gateway, keys=keys, settings=config.server, refusals=refusals)
    relays = {
        "/v1/chat/completions": relay("chat.completions", factory.chat),
        "/v1/completions": relay("completions", factory.completion),
    }

    app = Portico(
        refusals,
        title="Portico",
        lifespan=_lifespan(engines, watchdog, metrics, log),
        docs_url=None,
        redoc_url=None,
        openapi_url="/openapi.json",
    )
    app.include_router(health_routes(lambda: any(engine.up for engine in engines.values())))
    app.include_router(model_routes(catalogue, keys))
    describe(app)
    app.add_exception_handler(GatewayError, _gateway_error)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(Exception, _any_error)
    return Parts(_with_cors(app, config.server.cors_origins), relays, refusals, gateway, engines, watchdog, metrics)


def _engines(
    config: Config, addresses: Mapping[str, EngineAddress], watchdog: Watchdog, worker: int
) -> dict[str, Engine]:
    """Each with this worker's share of what it may have in flight."""
    found: dict[str, Engine] = {}
    for name, engine in config.engines.items():
        address, capacity = addresses[name], share(engine.max_in_flight, worker, config.server.workers)
        found[name] = Engine(name, engine, address.url, address.api_key, watchdog, capacity)
    return found


def _lifespan(
    engines: Mapping[str, Engine], watchdog: Watchdog, metrics: Metrics, log: LogWriter | None
) -> Callable[[FastAPI], AbstractAsyncContextManager[None]]:
    """Starts and ends the background tasks of a worker."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncGenerator[None]:
        if log is not None:
            watchdog.add(log)
        watchdog.add(metrics)
        watchdog.start()
        for engine in engines.values():
            metrics.engine_up(engine.name, up=False)
            engine.start()
        yield
        for engine in engines.values():
            await engine.stop()
        await watchdog.stop()
        metrics.flush()
        if log is not None:
            log.flush()

    return lifespan


def _with_cors(app: Portico, origins: tuple[str, ...]) -> Any:
    if not origins:
        return app
    return CORSMiddleware(
        app,
        allow_origins=origins,
        allow_methods=("GET", "POST", "DELETE"),
        allow_headers=("*",),
        expose_headers=EXPOSED,
    )


def _stages(metrics: Metrics) -> dict[str, NewStage]:
    """What is done to an answer, in order. Adding a stage is a line here."""

    def leaks(call: Call) -> Stage | None:
        return cut_leaks(call, metrics.models[call.model.id].leaks)

    return {
        "calls": true_calls,
        "logprobs": answer_logprobs,
        "leaks": leaks,
        "stop": stop_texts,
        "usage": usage_as_asked,
    }


def _engine_changed(metrics: Metrics, admission: Admission[Engine], engine: Engine) -> None:
    metrics.engine_up(engine.name, up=bool(engine.up))
    admission.offer(engine)


async def _gateway_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, GatewayError)  # noqa: S101
    return _response(error)


async def _http_error(request: Request, error: Exception) -> Response:
    """Starlette's own refusals: no such route, wrong method."""
    assert isinstance(error, HTTPException)  # noqa: S101
    if error.status_code == 404:
        return _response(UnknownRoute(f"Unknown request URL: {request.method} {request.url.path}. See /openapi.json."))
    if error.status_code == 405:
        response = _response(MethodNotAllowed(f"{request.url.path} does not take {request.method}."))
        response.headers["allow"] = (error.headers or {}).get("Allow", "GET")
        return response
    refusal = InvalidRequest("The request cannot be served.")
    refusal.status = error.status_code
    return _response(refusal)


async def _any_error(_: Request, __: Exception) -> Response:
    return _response(GatewayError("The server had an error. It was logged under this request id."))


def _response(error: GatewayError) -> Response:
    named = {name.decode(): value.decode() for name, value in error_headers(error)}
    if error.close:
        named["connection"] = "close"
    return Response(error.body(), error.status, named, media_type="application/json")
