"""The composition root: the only file that names concrete parts, builds them once and hands them to each other."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from socket import gethostname
from time import time
from typing import Any, Protocol

from fastapi import APIRouter, FastAPI
from prometheus_client import CollectorRegistry
from starlette.middleware.cors import CORSMiddleware

from server.admission.admission import Admission
from server.admission.slots import share
from server.answers.calls import true_calls
from server.answers.leaks import cut_leaks
from server.answers.logprobs import answer_logprobs
from server.answers.moderated import moderated
from server.answers.stage import NewStage, Stage
from server.answers.stop import stop_texts
from server.answers.usage import usage_as_asked
from server.anthropic.signature import Signer
from server.api.admin.administration import Administration
from server.api.admin.routes import admin_routes
from server.api.calls import CallFactory, Catalogue
from server.api.conversations import conversation_routes
from server.api.cors import EXPOSED
from server.api.describe import describe
from server.api.failures import answer_failures
from server.api.messages import MessageAnswers, count_routes
from server.api.moderations import moderation_routes
from server.api.plain import Portico
from server.api.pooling import PooledAnswers
from server.api.relay import Relay, at_once
from server.api.routes import health_routes, model_routes
from server.auth.directory import KeyDirectory
from server.auth.keys import KeyRing
from server.auth.probe import DirectoryProbe
from server.auth.secrets import tag_key
from server.batching import batching
from server.call import Call, ServedModel
from server.config import Config, home
from server.durable import durable_of, sweeping
from server.engines.engine import Engine, EngineAddress
from server.engines.makes.wishes import fitting_for
from server.engines.salts import CacheSalts
from server.gateway import Gateway
from server.limits.limiter import Limiter
from server.limits.shared import FailoverLimits, ShareOf
from server.policies import screening
from server.responding import responding
from server.responses.seal import Sealer
from server.stores.base import LimitStore
from server.stores.memory import MemoryLimits
from server.stores.redis import RedisLimits
from server.stores.sql.store import SqlStore
from server.telemetry.exemplars import ExemplarFile
from server.telemetry.metrics import Metrics
from server.telemetry.projects import ProjectNames
from server.telemetry.refusals import Refusals
from server.telemetry.request_log import LogWriter, RequestLog
from server.telemetry.series import EngineSeries, StoreSeries
from server.telemetry.status import Facts, StatusFile
from server.telemetry.tracing import tracer_of
from server.tokens.counter import TokenCounter
from server.usage.usage_log import UsageLog
from server.watchdog import Ticking, Watchdog

RERANK_PATHS = ("/v1/rerank", "/v2/rerank", "/rerank")  # as vLLM has: clients in Jina's shape and in Cohere's differ
Lifespan = Callable[[FastAPI], AbstractAsyncContextManager[None]]


@dataclass(frozen=True)
class WorkerPlace:
    """Which worker this is, from 0, and what all of them know: the secret that the database holds.

    `seat` numbers its files in the metrics folder: while a configuration is loaded anew, two workers have one slot.
    """

    slot: int
    server_secret: bytes
    seat: int = 0
    folder: Path | None = None  # that all workers of a parent share: metrics, and what `portico status` shows


@dataclass(frozen=True)
class Parts:
    """What a worker and the tests need to reach: the ASGI app, and the paths that are answered before it."""

    app: Any
    relays: Mapping[str, Relay]
    refusals: Refusals
    gateway: Gateway
    durable: SqlStore
    directory: KeyDirectory
    engines: Mapping[str, Engine]
    watchdog: Watchdog
    metrics: Metrics

    def drain(self, names: Collection[str]) -> None:
        """These engines, and no others, get no more calls."""
        for name, engine in self.engines.items():
            engine.drain(drained=name in names)


def build(
    config: Config,
    addresses: Mapping[str, EngineAddress],
    registry: CollectorRegistry,
    log: LogWriter | None,
    worker: WorkerPlace,
) -> Parts:
    """Everything that serves `config`. `addresses` gives the URL and key of every engine of `config.engines`.

    The database was opened before, by the parent.
    """
    watchdog, secret = Watchdog(), worker.server_secret
    metrics = Metrics(registry, _project_names(config, worker), _exemplars(config, worker))
    request_log = _request_log(config, log)
    tracer = tracer_of(config.tracing, f"{gethostname()}-{worker.slot}", version("portico"), metrics.spans)
    engines = _engines(config, addresses, watchdog, worker.slot, metrics.engines)
    models = _models(config)
    catalogue = Catalogue(models)
    fleets = {name: [engines[engine] for engine in model.engines] for name, model in config.models.items()}
    admission = Admission(config.admission, fleets, fitting_for(engines.values()))
    _watch_engines(engines, metrics, admission)
    durable = durable_of(config.stores, home())
    directory = KeyDirectory(durable, tag_key(secret), config.auth, config.limits.default)
    keys = KeyRing(config.auth.static_keys, config.limits.default, directory, open_to_all=config.auth.mode == "none")
    counter = _counter(config)
    limiter = Limiter(_limit_store(config, worker, metrics), durable, counter, config.limits, metrics.limits.refused)
    usage = UsageLog(home() / config.stores.spool, durable, metrics.usage.lost)
    metrics.usage.depth = lambda: usage.depth
    policies = screening(config, addresses, watchdog, secret, metrics, request_log)
    stages = tuple(_stages(metrics).values())
    gateway = Gateway(admission, stages, limiter, policies.moderator, usage, watchdog, metrics, request_log, tracer)
    signer, sealer = Signer(secret), Sealer(secret)
    factory = CallFactory(
        catalogue, config.server.max_json_depth, CacheSalts(secret).of, signer, sealer, admission.available
    )
    responses = responding(durable, gateway, keys, factory, counter, sealer, metrics, config)
    refusals, judged = Refusals(metrics, request_log), metrics.moderation.judged
    relay = partial(Relay, gateway=gateway, keys=keys, settings=config.server, refusals=refusals, tracer=tracer)
    batches = batching(config, durable, keys, factory, gateway, fleets, tracer, metrics, responses.lines)
    rest = (_probe(durable, metrics.stores), *sweeping(config.stores, durable), *batches.rest, tracer)
    background = (batches.runner, *responses.background, usage, directory, limiter, *policies.background, *rest)
    writers: list[Ticking] = [*([log] if log is not None else []), *_status_file(worker, gateway, engines)]
    app = _fastapi(
        refusals,
        _lifespan(engines, background, durable, (metrics, limiter, *writers), watchdog),
        health_routes(lambda: any(engine.up for engine in engines.values())),
        model_routes(catalogue, keys),
        moderation_routes(keys, policies.library, limiter, judged, config.server, _ended(usage, metrics)),
        count_routes(keys, factory, counter, config.server),
        *responses.routers,
        conversation_routes(keys, durable, limiter, config.server),
        admin_routes(Administration(durable, tag_key(secret), models, config.server, policies.library.now)),
        *batches.routers,
    )
    outermost = _with_cors(app, config.server.cors_origins)
    relays = _relays(relay, factory, signer) | responses.relays(relay)
    return Parts(outermost, relays, refusals, gateway, durable, directory, engines, watchdog, metrics)


def _fastapi(refusals: Refusals, lifespan: Lifespan, *routers: APIRouter) -> Portico:
    """What is answered by FastAPI, and its OpenAPI document."""
    app = Portico(refusals, title="Portico", lifespan=lifespan, docs_url=None, redoc_url=None)
    for router in routers:
        app.include_router(router)
    describe(app)
    answer_failures(app)
    return app


def _relays(relay: Callable[..., Relay], factory: CallFactory, signer: Signer) -> dict[str, Relay]:
    """The paths that are answered before FastAPI."""
    return {
        "/v1/chat/completions": relay("chat.completions", at_once(factory.chat)),
        "/v1/completions": relay("completions", at_once(factory.completion)),
        "/v1/messages": relay("messages", at_once(factory.message), answers=MessageAnswers(signer)),
        "/v1/embeddings": relay("embeddings", at_once(factory.embedding), answers=PooledAnswers()),
        **dict.fromkeys(RERANK_PATHS, relay("rerank", at_once(factory.rerank), answers=PooledAnswers())),
    }


def _ended(usage: UsageLog, metrics: Metrics) -> Callable[[Call], None]:
    """Who hears of calls that no model served."""

    def ended(call: Call) -> None:
        usage.finished(call)
        metrics.answered_here(call)

    return ended


def _exemplars(config: Config, worker: WorkerPlace) -> ExemplarFile | None:
    if config.tracing.endpoint is None or worker.folder is None:
        return None
    return ExemplarFile(worker.folder, worker.seat)


def _project_names(config: Config, worker: WorkerPlace) -> ProjectNames:
    """Those with metrics of their own."""
    return ProjectNames(config.metrics.projects, None if worker.folder is None else worker.folder / "projects")


def _request_log(config: Config, log: LogWriter | None) -> RequestLog:
    settings = config.logging
    as_json = settings.format != "text"
    return RequestLog(log, requests=settings.requests, as_json=as_json, successes=settings.sample_successes)


def _models(config: Config) -> dict[str, ServedModel]:
    started = int(time())
    return {name: ServedModel(name, model, started) for name, model in config.models.items()}


def _counter(config: Config) -> TokenCounter:
    counter = TokenCounter()
    if _limits_tokens(config):
        counter.prepare()
    return counter


def _limits_tokens(config: Config) -> bool:
    """Whether prompts are sure to be counted. A key of the database may ask for it too: its first call then waits."""
    limits = [config.limits.default, *(model.limits for model in config.models.values())]
    limits += [key.limits for key in config.auth.static_keys if key.limits is not None]
    return any(one.tokens_per_minute or one.tokens_per_day or one.spend_per_month for one in limits)


def _limit_store(config: Config, worker: WorkerPlace, metrics: Metrics) -> LimitStore:
    """Shared by all, or this worker's share of each limit."""
    replicas = config.limits.replicas
    shares = config.server.workers * replicas
    metrics.stores.up("volatile", True)
    local = MemoryLimits()
    if shares > 1:
        local = ShareOf(local, shares, worker.slot if replicas == 1 else None)
    if config.stores.volatile == "memory://":
        return local
    if config.limits.store_down == "closed":
        local = None
    return FailoverLimits(RedisLimits(config.stores.volatile), local, partial(_limits_degraded, metrics))


def _limits_degraded(metrics: Metrics, degraded: bool) -> None:
    metrics.limits.degraded(degraded)
    metrics.stores.up("volatile", not degraded)


def _engines(
    config: Config, addresses: Mapping[str, EngineAddress], watchdog: Watchdog, worker: int, series: EngineSeries
) -> dict[str, Engine]:
    """Each with this worker's share of what it may have in flight."""
    found: dict[str, Engine] = {}
    for name, engine in config.engines.items():
        address, capacity = addresses[name], share(engine.max_in_flight, worker, config.server.workers)
        found[name] = Engine(name, engine, address.url, address.api_key, watchdog, capacity)
        found[name].on_retry = partial(series.retried, name)
    series.in_flight = lambda: {name: engine.in_flight for name, engine in found.items()}
    return found


def _probe(durable: SqlStore, series: StoreSeries) -> DirectoryProbe:
    return DirectoryProbe(durable, partial(series.up, "durable"), partial(series.keys_expiring, "7d"))


class Background(Protocol):
    """What runs beside the requests."""

    async def start(self) -> None: ...

    async def stop(self) -> None: ...


def _lifespan(
    engines: Mapping[str, Engine],
    background: Sequence[Background],
    durable: SqlStore,
    watched: Sequence[Ticking],
    watchdog: Watchdog,
) -> Lifespan:
    """Starts and ends what a worker does in the background: `background` ends in its order, when no call is open."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncGenerator[None]:
        for one in watched:
            watchdog.add(one)
        watchdog.start()
        for one in background:
            await one.start()
        await asyncio.gather(*(engine.start() for engine in engines.values()))
        yield
        for one in background:
            await one.stop()
        for engine in engines.values():
            await engine.stop()
        await durable.close()
        await watchdog.stop()

    return lifespan


def _status_file(worker: WorkerPlace, gateway: Gateway, engines: Mapping[str, Engine]) -> list[StatusFile]:
    """None where nobody reads it."""
    if worker.folder is None:
        return []
    return [StatusFile(worker.folder, worker.seat, partial(_status, gateway, engines))]


def _status(gateway: Gateway, engines: Mapping[str, Engine]) -> Facts:
    """What `portico status` shows of this worker."""
    return {
        "engines": {
            name: {
                "up": bool(one.up),
                "drained": one.drained,
                "breaker": one.breaker,
                "in_flight": one.in_flight,
                "max_in_flight": one.capacity,
            }
            for name, one in engines.items()
        },
        "queue": [standing for pool in gateway.admission.snapshot() for standing in pool],
        "limits": {"degraded": gateway.limiter.degraded},
        "usage": {"waiting": gateway.usage.depth},
    }


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
        "moderation": moderated,
        "usage": usage_as_asked,
    }


def _watch_engines(engines: Mapping[str, Engine], metrics: Metrics, admission: Admission[Engine]) -> None:
    """What changes of them is counted, and gives the queue its turn."""
    metrics.queued = admission.waiting
    for engine in engines.values():
        engine.on_change = partial(_engine_changed, metrics, admission)


def _engine_changed(metrics: Metrics, admission: Admission[Engine], engine: Engine) -> None:
    metrics.engines.up(engine.name, up=bool(engine.up))
    metrics.engines.breaker(engine.name, engine.breaker)
    admission.offer(engine)
