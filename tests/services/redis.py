"""A real redis-server of the tests' own: loopback, a free port, nothing kept on disk."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis import Redis
from redis.exceptions import RedisError

from tests.conftest import lacking

READY_S = 15


class RedisServer:
    """`start` and `stop` as often as one likes; the port stays."""

    def __init__(self, folder: Path, password: str | None = None) -> None:
        self.port = free_port()
        self.password = password
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        login = f":{self.password}@" if self.password else ""
        return f"redis://{login}127.0.0.1:{self.port}/0"

    def start(self) -> None:
        command = ["redis-server", "--bind", "127.0.0.1", "--port", str(self.port), "--dir", str(self._folder)]
        command += ["--save", "", "--appendonly", "no", "--loglevel", "warning"]
        command += ["--requirepass", self.password] if self.password else []
        with (self._folder / "redis.log").open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log)
        until = time.monotonic() + READY_S
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > until:
                self.stop()
                raise RuntimeError(f"redis-server did not start: {(self._folder / 'redis.log').read_text()}")
            time.sleep(0.02)

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait(READY_S)
            self._process = None

    def client(self) -> Redis:
        return Redis.from_url(self.url, decode_responses=True)

    def flush(self) -> None:
        """Forget all data, and the scripts too."""
        with self.client() as client:
            client.flushall()
            client.script_flush()

    def _answers(self) -> bool:
        try:
            with self.client() as client:
                return bool(client.ping())
        except (RedisError, OSError):
            return False


def running_server(folder: Path, password: str | None = None) -> Iterator[RedisServer]:
    """For fixtures that need a server of their own."""
    if shutil.which("redis-server") is None:
        lacking("redis-server is not installed: apt-get install redis-server")
    server = RedisServer(folder, password)
    server.start()
    try:
        yield server
    finally:
        server.stop()


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    yield from running_server(tmp_path_factory.mktemp("redis"))


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
