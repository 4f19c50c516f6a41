from __future__ import annotations

import errno
import socket
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from server.commands.control import Request, control_socket, socket_path
from server.commands.doctor.ports import Kind, Listener, PortFacts, judge_port, listeners_of, probe_port, service_runs
from server.config import Config
from server.engines.managed.health import reserve_port
from server.telemetry.exposition import MetricsListener
from tests.behaviour.processes import free_port

SERVER = Listener("server", "server.port", "127.0.0.1", 8000)


def at(port: int, kind: Kind = "server") -> Listener:
    return Listener(kind, f"{kind}.port", "127.0.0.1", port)


@pytest.mark.parametrize(
    ("facts", "ours", "level", "said"),
    [
        (PortFacts(SERVER), False, "ok", "server.port 8000 is free"),
        (PortFacts(SERVER, errno.EADDRINUSE, portico=True), True, "ok", "held by the Portico that runs"),
        (PortFacts(SERVER, errno.EADDRINUSE, portico=True), False, "fail", "another Portico"),
        (PortFacts(SERVER, errno.EADDRINUSE), True, "fail", "another program; stop it"),
        (PortFacts(SERVER, errno.EACCES, "permission denied"), False, "fail", "set server.port to one above"),
        (PortFacts(SERVER, errno.EADDRNOTAVAIL, "no such address"), False, "fail", "set server.host to an address"),
        (PortFacts(at(0)), False, "ok", "a free one is taken"),
    ],
)
def test_verdicts(facts: PortFacts, ours: bool, level: str, said: str) -> None:
    verdict = judge_port(facts, ours_runs=ours)
    assert verdict.level == level and said in verdict.line


def test_all_ports_of_a_configuration() -> None:
    keys = [one.key for one in listeners_of(Config())]
    assert keys == ["server.port", "metrics.port", "engines.local.managed.port"]


async def test_free_and_taken() -> None:
    assert (await probe_port(at(free_port()), tls=False)).error == 0
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        port = other.getsockname()[1]
        found = await probe_port(at(port), tls=False)
        assert (found.error, found.portico) == (errno.EADDRINUSE, False)
    found = await probe_port(at(port), tls=False)
    assert (found.error, found.portico) == (0, False)
    far = await probe_port(Listener("server", "server.port", "203.0.113.7", 8000), tls=False)
    assert far.error == errno.EADDRNOTAVAIL and far.reason
    unknown = await probe_port(Listener("server", "server.port", "nowhere.invalid", 8000), tls=False)
    assert unknown.error != 0 and unknown.reason


@pytest.mark.parametrize("token", [None, "s3cr3t"])
async def test_the_metrics_of_a_portico(token: str | None, tmp_path: Path) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        one = MetricsListener(tmp_path, listener, token, CollectorRegistry())
        one.start()
        try:
            assert (await probe_port(at(listener.getsockname()[1], "metrics"), tls=False)).portico
        finally:
            one.stop()


async def test_the_engine_of_a_portico() -> None:
    port = free_port()
    mark = reserve_port(port)
    assert mark is not None
    with mark:
        assert (await probe_port(at(port, "engine"), tls=False)).portico  # marked, and not listening yet
    assert not (await probe_port(at(port, "engine"), tls=False)).portico
    again = reserve_port(port)
    assert again is not None  # looking leaves no mark
    again.close()


async def test_whether_the_service_runs(tmp_path: Path) -> None:
    async def obey(_: Request) -> str:
        raise AssertionError("the doctor orders nothing")

    config = Config()
    assert not service_runs(config, tmp_path)
    async with control_socket(socket_path(config, tmp_path), obey):
        assert service_runs(config, tmp_path)
    assert not service_runs(config, tmp_path)
