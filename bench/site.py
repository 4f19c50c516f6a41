"""A whole installation on one machine: gateways, engines, a Redis and a PostgreSQL, each a node of a network."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import os
import pwd
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from bench import cpu
from bench.networks import Network
from bench.process import Process, StartError

MODEL = "gpt-oss-20b"
API, METRICS, ENGINE, REDIS, POSTGRES = 8000, 9464, 8100, 6379, 5432
PASSWORD = "correct-horse"
KEY = "sk-of-the-configuration-0123"  # or a gateway that others can reach does not start
ROOT = Path(__file__).parent.parent
START_S = 60.0


def nodes(gateways: int, engines: int) -> list[str]:
    """The readers' own node first."""
    return ["readers", *numbered("gateway", gateways), *numbered("engine", engines), "redis", "postgres"]


def numbered(kind: str, count: int) -> list[str]:
    return [f"{kind}{number}" for number in range(1, count + 1)]


def postgres_programs() -> Path | None:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    return found[-1].parent if found else None


@dataclass
class Site:
    """`start_all`, then `start`, `stop` or `kill` any by its name. We are on the node `readers` of the network.

    `folder` must be one that others may enter, for PostgreSQL does not run as root.
    """

    network: Network
    folder: Path
    gateways: int
    engines: int
    interval_ms: float
    running: dict[str, Process] = field(default_factory=dict[str, Process])
    starts: int = 0

    def address(self, node: str) -> str:
        return self.network.address(node)

    @property
    def database(self) -> str:
        return f"postgresql://portico:{PASSWORD}@{self.address('postgres')}:{POSTGRES}/postgres"

    async def start_all(self) -> None:
        """Raises StartError."""
        self._make_database()
        for node in ("postgres", "redis", *numbered("engine", self.engines), *numbered("gateway", self.gateways)):
            await self.start(node)

    async def start(self, node: str) -> None:
        """Until it answers. Raises StartError."""
        kind = re.sub(r"\d+$", "", node)
        environ = {"PORTICO_HOME": str(self.folder / node), "PYTHONPATH": str(ROOT), "PORTICO_API_KEY": KEY}
        command = getattr(self, f"_{kind}")(node)
        log = self.folder / f"{node}.log{self.starts}"  # a log for each time
        self.starts += 1
        process = Process(self.network.on(node, command), log, environ)
        self.running[node] = process
        port = {"gateway": API, "engine": ENGINE, "redis": REDIS, "postgres": POSTGRES}[kind]
        await until(lambda: self._answers(node, port, process), START_S, f"{node} does not answer")
        if kind == "gateway":
            await until(lambda: self.ready(node), START_S, f"{node} is not ready")

    def kill(self, node: str) -> None:
        """As when its machine loses power, but for what the kernel has."""
        process = self.running.pop(node)
        for pid in cpu.tree(process.pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        process.stop()

    def stop(self, node: str, grace_s: float = 40) -> None:
        self.running.pop(node).stop(grace_s)

    def stop_all(self) -> None:
        for node in sorted(self.running):  # engines and gateways before what they need
            self.stop(node)

    def portico(self, *words: str) -> Any:
        """A command on the first gateway's configuration, its answer as JSON."""
        command = [sys.executable, "-m", "server", *words, "--json", "--config", str(self.configuration("gateway1"))]
        environ = os.environ | {"PORTICO_HOME": str(self.folder / "gateway1")}
        done = subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True, check=True)
        return json.loads(done.stdout)

    def sql(self, statement: str) -> list[list[str]]:
        programs = postgres_programs()
        assert programs is not None
        command = [str(programs / "psql"), "-qAtX", "-vON_ERROR_STOP=1", self.database, "-c", statement]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        return [line.split("|") for line in done.stdout.splitlines()]

    # what a gateway tells
    def ready(self, node: str) -> bool:
        return self._get(node, API, "/readyz").startswith("200")

    def metric(self, node: str, name: str) -> float:
        """The sum over its series; NaN where it cannot be asked."""
        told = self._get(node, METRICS, "/metrics")
        if not told.startswith("200"):
            return float("nan")
        values = re.findall(rf"^{name}(?:{{[^}}]*}})? (\S+)$", told, re.MULTILINE)
        return sum(float(value) for value in values)

    def engine_of(self) -> dict[str, str]:
        """By request id, from the gateways' logs: the engine that answered."""
        found: dict[str, str] = {}
        for file in self.folder.glob("gateway*.log*"):
            for line in file.read_text(encoding="utf-8").splitlines():
                if line.startswith("{") and '"msg":"request"' in line:
                    told = json.loads(line)
                    found[told["id"]] = told.get("engine") or ""
        return found

    def _get(self, node: str, port: int, path: str) -> str:
        """Status and body; "" where it does not answer within two seconds."""
        connection = http.client.HTTPConnection(self.address(node), port, timeout=2)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return f"{answer.status}\n{answer.read().decode()}"
        except (OSError, http.client.HTTPException):
            return ""
        finally:
            connection.close()

    # how each is started
    def configuration(self, node: str) -> Path:
        names = numbered("engine", self.engines)
        engine = {"max_in_flight": 1000, "timeouts": {"connect_s": 1, "between_bytes_s": 20}}
        tree = {
            "server": {"host": self.address(node), "port": API, "shutdown_grace_s": 30},
            "metrics": {"host": self.address(node), "port": METRICS},
            "stores": {"durable": self.database, "volatile": f"redis://{self.address('redis')}:{REDIS}/0"},
            "engines": {name: {"url": f"http://{self.address(name)}:{ENGINE}/v1", **engine} for name in names},
            "models": {MODEL: {"engines": names, "context_length": 8192}},
            "limits": {"replicas": self.gateways},
            "logging": {"format": "json"},
        }
        file = self.folder / f"{node}.yaml"
        file.write_text(yaml.safe_dump(tree), encoding="utf-8")
        return file

    def _gateway(self, node: str) -> list[str]:
        return [sys.executable, "-m", "server", "serve", "--config", str(self.configuration(node))]

    def _engine(self, node: str) -> list[str]:
        pace = ["--model", MODEL, "--interval-ms", str(self.interval_ms)]
        address = ["--host", self.address(node), "--port", str(ENGINE)]
        return [sys.executable, "-m", "bench.sim_engine", *address, *pace]

    def _redis(self, node: str) -> list[str]:
        program = shutil.which("redis-server") or shutil.which("valkey-server")
        if program is None:
            raise StartError("redis-server is not installed (Debian: apt-get install redis-server)")
        address = ["--bind", self.address(node), "--port", str(REDIS), "--protected-mode", "no"]
        return [program, *address, "--dir", str(self.folder), "--save", "", "--appendonly", "no"]

    def _postgres(self, node: str) -> list[str]:
        programs = postgres_programs()
        assert programs is not None
        settings = {
            "listen_addresses": self.address(node),
            "port": str(POSTGRES),
            "unix_socket_directories": str(self.folder / "data"),
            "max_connections": "200",
            "fsync": "off",  # the machine does not lose power here
        }
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        return [*as_postgres(), str(programs / "postgres"), "-D", str(self.folder / "data"), *options]

    def _make_database(self) -> None:
        programs = postgres_programs()
        if programs is None:
            raise StartError("PostgreSQL is not installed (Debian: apt-get install postgresql)")
        password = self.folder / "password"
        password.write_text(PASSWORD)
        data = self.folder / "data"
        data.mkdir()
        if os.geteuid() == 0:
            shutil.chown(data, *postgres_user())
        command = [str(programs / "initdb"), f"--pgdata={data}", "--username=portico", f"--pwfile={password}"]
        way = ["--auth=password", "--encoding=UTF8", "--no-sync"]
        subprocess.run([*as_postgres(), *command, *way], check=True, capture_output=True, cwd=self.folder)
        with (data / "pg_hba.conf").open("a", encoding="utf-8") as file:
            file.write("host all all 0.0.0.0/0 password\n")

    def _answers(self, node: str, port: int, process: Process) -> bool:
        process.check()
        try:
            socket.create_connection((self.address(node), port), 1).close()
        except OSError:
            return False
        return True


def postgres_user() -> tuple[int, int]:
    names = {one.pw_name: one for one in pwd.getpwall()}
    user = names.get("postgres") or names["nobody"]
    return user.pw_uid, user.pw_gid


def as_postgres() -> list[str]:
    """PostgreSQL does not run as root."""
    if os.geteuid() != 0:
        return []
    uid, gid = postgres_user()
    return ["setpriv", f"--reuid={uid}", f"--regid={gid}", "--clear-groups", "--"]


async def until(condition: Callable[[], bool], within_s: float, otherwise: str) -> float:
    """How long it took, in seconds. The condition is asked in a thread. Raises StartError."""
    began = time.monotonic()
    while not await asyncio.to_thread(condition):
        if time.monotonic() > began + within_s:
            raise StartError(otherwise)
        await asyncio.sleep(0.1)
    return time.monotonic() - began
