"""All probes at once, and then all verdicts, in an order for reading."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from time import time

from server.commands.devkey import development_key_hash
from server.commands.doctor.clocks import Clock, judge_clocks
from server.commands.doctor.engines import EngineFacts, judge_engine, judge_model, probe_engine
from server.commands.doctor.files import folders, judge_folders, judge_secrets, judge_user, secret_files
from server.commands.doctor.machine import (
    EngineHost,
    judge_engine_host,
    judge_gpus,
    judge_machine,
    probe_engine_host,
)
from server.commands.doctor.ports import PortFacts, judge_port, listeners_of, probe_port, service_runs
from server.commands.doctor.settings import judge_certificate, judge_exposure, judge_keys
from server.commands.doctor.stores import (
    DurableFacts,
    VolatileFacts,
    judge_bucket,
    judge_durable,
    judge_volatile,
    probe_bucket,
    probe_durable,
    probe_volatile,
)
from server.commands.doctor.verdict import Verdict, fail, ok, warn
from server.commands.startable import check_tls
from server.config import Config, ConfigError, Model, read_bytes, shipped, tree_of
from server.engines.managed.hardware import Hardware, look
from server.engines.managed.health import healthy
from server.policies import check_policies


@dataclass(frozen=True, slots=True)
class Findings:
    """What the probes found. `engines` are those by URL."""

    ports: list[PortFacts]
    durable: DurableFacts
    volatile: VolatileFacts | None
    bucket: str | None  # why it cannot be used; empty where it can, and None where files are in a folder
    engines: dict[str, EngineFacts]
    host: EngineHost | None
    healthy: bool | None  # the managed engine, where it runs

    @property
    def engine_runs(self) -> bool:
        return any(one.portico for one in self.ports if one.listener.kind == "engine")


def examine_machine(home: Path) -> tuple[Hardware, list[Verdict]]:
    """What needs no configuration."""
    hardware = look(home)
    return hardware, [*judge_machine(hardware), *judge_gpus(hardware), judge_user(os.geteuid())]


def examine_files(config: Config, path: Path | None, home: Path) -> Iterator[Verdict]:
    """What is read from the disk: certificates, policies, permissions, room."""
    yield from _checked("certificate", lambda: check_tls(config.server.tls))
    if config.server.tls.cert is not None:
        yield judge_certificate(config.server.tls.cert.read_text(encoding="utf-8", errors="replace"), time())
    yield from _checked("moderation", lambda: check_policies(config), "the policies of moderation load")
    file = path or Path(os.environ.get("PORTICO_CONFIG") or shipped("config/portico.yaml"))
    tree = tree_of(read_bytes(file), str(file))
    yield from judge_secrets(secret_files(config, home, file, tree, os.environ))
    yield from judge_folders(folders(config, home))


def _checked(check: str, work: Callable[[], None], good: str = "") -> Iterator[Verdict]:
    try:
        work()
    except ConfigError as error:
        yield fail(check, str(error))
    else:
        if good:
            yield ok(check, good)


async def examine_surroundings(config: Config, hardware: Hardware, home: Path) -> list[Verdict]:
    """What others have to answer: ports, stores, engines, the model hub. Asked all at once."""
    tls = config.server.tls.cert is not None
    urls = {name: engine for name, engine in config.engines.items() if engine.url is not None}
    ports = asyncio.gather(*(probe_port(one, tls=tls) for one in listeners_of(config)))
    engines = asyncio.gather(*(probe_engine(one.url or "", one.api_key) for one in urls.values()))
    durable, volatile, bucket, answers, found = await asyncio.gather(
        probe_durable(config.stores.durable, home),
        probe_volatile(config.stores.volatile),
        probe_bucket(config.files.storage),
        engines,
        ports,
    )
    facts = Findings(found, durable, volatile, bucket, dict(zip(urls, answers, strict=True)), None, None)
    managed = next((engine.managed for engine in config.engines.values() if engine.managed), None)
    if managed is not None:
        host = await probe_engine_host(managed, hardware, home, os.environ, runs=facts.engine_runs)
        health = await healthy("127.0.0.1", managed.port, 5) if facts.engine_runs else None
        facts = replace(facts, host=host, healthy=health)
    runs = await asyncio.to_thread(service_runs, config, home)
    return list(judge(config, facts, hardware, development_key_hash(home), service=runs))


def judge(
    config: Config, facts: Findings, hardware: Hardware, development_hash: str | None, *, service: bool
) -> Iterator[Verdict]:
    """Pure. `service`: the Portico of this configuration runs."""
    yield judge_durable(facts.durable)
    yield from judge_volatile(facts.volatile, config.server.workers)
    yield from judge_bucket(facts.bucket)
    yield from judge_keys(config, facts.durable.has_keys, development_hash)
    yield from judge_exposure(config)
    yield from (judge_port(one, ours_runs=service) for one in facts.ports)
    for name, engine in config.engines.items():
        models = {public: model for public, model in config.models.items() if name in model.engines}
        if engine.url is not None:
            yield from judge_engine(name, engine, facts.engines[name], models)
        elif facts.host is not None:
            yield from judge_engine_host(facts.host, hardware, runs=facts.engine_runs)
            yield from _judge_managed(name, facts.host, models, facts)
    yield from judge_clocks(_clocks(facts))


def _judge_managed(name: str, host: EngineHost, models: dict[str, Model], facts: Findings) -> Iterator[Verdict]:
    if host.plan is not None:
        for public, model in models.items():
            wanted = model.engine_model or host.plan.model_id  # as `portico serve` gives it out
            served = dict.fromkeys((host.plan.model_id, *host.plan.adapters), host.plan.context_length)
            renamed = model.model_copy(update={"engine_model": wanted})
            yield from judge_model(f"engine {name}", public, renamed, served)
    if facts.engine_runs and facts.healthy:
        yield ok("engine", f"engine {name} answers")
    elif facts.engine_runs:
        yield warn("engine", f"engine {name} runs and is not ready", "portico engine status says what it does")


def _clocks(facts: Findings) -> Iterator[Clock]:
    if facts.durable.ahead_s is not None:
        yield Clock("the database", facts.durable.ahead_s)
    if facts.volatile is not None and facts.volatile.ahead_s is not None:
        yield Clock("Valkey or Redis", facts.volatile.ahead_s)
    for name, engine in facts.engines.items():
        if engine.ahead_s is not None:
            yield Clock(f"engine {name}", engine.ahead_s)
