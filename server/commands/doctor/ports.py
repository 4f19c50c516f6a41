"""Whether the ports are to be had, and who has those that are not."""

from __future__ import annotations

import asyncio
import errno
import json
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from server.commands.control import socket_path
from server.commands.doctor.fetch import Unreachable, fetch
from server.commands.doctor.verdict import Verdict, fail, ok
from server.commands.loopback import own_host
from server.config import Config
from server.engines.managed.health import reserve_port

Kind = Literal["server", "metrics", "engine"]


@dataclass(frozen=True, slots=True)
class Listener:
    """`key` of the configuration names its port."""

    kind: Kind
    key: str
    host: str
    port: int


@dataclass(frozen=True, slots=True)
class PortFacts:
    """`error`: errno of listening there, 0 where it went well; `portico`: a Portico has the port, or its engine."""

    listener: Listener
    error: int = 0
    reason: str = ""
    portico: bool = False


def listeners_of(config: Config) -> list[Listener]:
    found = [
        Listener("server", "server.port", config.server.host, config.server.port),
        Listener("metrics", "metrics.port", config.metrics.host, config.metrics.port),
    ]
    for name, engine in config.engines.items():
        if engine.managed is not None:
            key = f"engines.{name}.managed.port"
            found.append(Listener("engine", key, "127.0.0.1", engine.managed.port))
    return found


def judge_port(facts: PortFacts, *, ours_runs: bool) -> Verdict:
    """`ours_runs`: the service of this configuration, $PORTICO_HOME and user runs now."""
    one = facts.listener
    where = f"{one.key} {one.port}"
    if one.port == 0:
        return ok("port", f"{one.key}: a free one is taken")
    if facts.portico:
        return _held(where, one.key, ours_runs=ours_runs)
    if facts.error == 0:
        return ok("port", f"{where} is free")
    return _refused(where, facts)


def _held(where: str, key: str, *, ours_runs: bool) -> Verdict:
    if ours_runs:
        return ok("port", f"{where} is held by the Portico that runs")
    text = f"{where} is held by another Portico, of another PORTICO_HOME or user"
    return fail("port", text, f"stop that, or set {key} to another")


def _refused(where: str, facts: PortFacts) -> Verdict:
    key, host = facts.listener.key, facts.listener.host
    if facts.error == errno.EADDRINUSE:
        way_out = f"stop it (`ss -ltnp` tells which), or set {key} to another"
        return fail("port", f"{where} is held by another program", way_out)
    if facts.error == errno.EACCES:
        return fail("port", f"{where}: this user may not listen below 1024", f"set {key} to one above")
    way_out = f"set {key.rpartition('.')[0]}.host to an address of this machine"
    return fail("port", f"{where} on {host}: {facts.reason}", way_out)


async def probe_port(listener: Listener, *, tls: bool) -> PortFacts:
    """Tries to listen, for a moment; `tls`: the public port speaks it."""
    if listener.port == 0:
        return PortFacts(listener)
    error, reason = await asyncio.to_thread(_bind, listener.host, listener.port)
    if listener.kind == "engine":
        return PortFacts(listener, error, reason, _engine_is_marked(listener.port))
    held = error == errno.EADDRINUSE and await _is_portico(listener, tls=tls)
    return PortFacts(listener, error, reason, held)


def service_runs(config: Config, home: Path) -> bool:
    """Whether something takes commands for this configuration: `portico serve`, while it lives."""
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as one:
            one.settimeout(2)
            one.connect(str(socket_path(config, home)))
    except OSError:
        return False
    return True


def _bind(host: str, port: int) -> tuple[int, str]:
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        with socket.socket(family, socket.SOCK_STREAM) as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((host, port))
    except OSError as error:
        return error.errno or errno.EINVAL, (error.strerror or str(error)).lower()
    return 0, ""


def _engine_is_marked(port: int) -> bool:
    mark = reserve_port(port)
    if mark is None:
        return True
    mark.close()
    return False


async def _is_portico(listener: Listener, *, tls: bool) -> bool:
    host = own_host(listener.host)
    place = f"{f'[{host}]' if ':' in host else host}:{listener.port}"
    try:
        if listener.kind == "server":
            answer = await fetch(f"http{'s' if tls else ''}://{place}/healthz", verify=False)
            return "openai-processing-ms" in answer.headers
        answer = await fetch(f"http://{place}/status")
        if answer.status == 401:
            return b"metrics.token" in answer.body
        return isinstance(tree := json.loads(answer.body), dict) and "workers" in tree
    except (Unreachable, ValueError):
        return False
