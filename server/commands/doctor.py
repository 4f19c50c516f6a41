"""`portico doctor`: what this machine is, what would run on it, and what stands in the way."""

from __future__ import annotations

import argparse
import platform
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from server.commands.startable import check_start
from server.config import Config, ConfigError, home, load
from server.engines.managed import EngineSetupError
from server.engines.managed.hardware import look
from server.engines.managed.install import find
from server.engines.managed.serve import decide

if TYPE_CHECKING:
    Subparsers = argparse._SubParsersAction[argparse.ArgumentParser]  # pyright: ignore[reportPrivateUsage]

Finding = tuple[bool, str]


def add_doctor_command(commands: Subparsers) -> None:
    doctor = commands.add_parser("doctor", help="check this machine and the configuration")
    doctor.add_argument("--config", type=Path, metavar="FILE")
    doctor.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    findings = list(_findings(arguments.config))
    for good, text in findings:
        print(f"{'ok  ' if good else 'FAIL'}  {text}")
    return 0 if all(good for good, _ in findings) else 1


def _findings(path: Path | None) -> Iterator[Finding]:
    yield True, f"Python {platform.python_version()} on {platform.system()} {platform.machine()}"
    hardware = look(home())
    gpus = ", ".join(gpu.name for gpu in hardware.gpus) or "no NVIDIA GPU"
    yield True, f"{hardware.memory_available_mib / 1024:.0f} GiB of memory free, {gpus}"
    try:
        config = load(path)
        check_start(config)
    except ConfigError as error:
        yield False, str(error)
        return
    yield True, "configuration"
    yield from _ports(config)
    yield from _engine(config)


def _ports(config: Config) -> Iterator[Finding]:
    ports = [
        ("server.port", config.server.host, config.server.port),
        ("metrics.port", config.metrics.host, config.metrics.port),
    ]
    for name, engine in config.engines.items():
        if engine.managed is not None:
            ports.append((f"engines.{name}.managed.port", "127.0.0.1", engine.managed.port))
    for name, host, port in ports:
        try:
            _bind(host, port)
        except OSError as error:
            way_out = f"stop what uses it (`ss -ltnp` tells; a running Portico does), or set {name} to another"
            yield False, f"{name} {port}: {error.strerror or error}; {way_out}"
        else:
            yield True, f"{name} {port} is free"


def _bind(host: str, port: int) -> None:
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))


def _engine(config: Config) -> Iterator[Finding]:
    for name, engine in config.engines.items():
        if engine.managed is None:
            yield True, f"engine {name}: {engine.url}"
            continue
        try:
            plan = decide(engine.managed, home())
        except EngineSetupError as error:
            yield False, str(error)
            return
        yield True, plan.reason
        installed = find(plan.kind, home(), demo=plan.demo)
        yield True, f"engine installed: {installed.python.parent.parent}" if installed else "engine: to be installed"
