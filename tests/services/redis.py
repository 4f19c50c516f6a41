"""A real redis-server of the tests' own: loopback, a free port, nothing kept on disk."""

from __future__ import annotations

import shutil
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis import Redis
from redis.exceptions import RedisError

from tests.conftest import lacking
from tests.services.program import Program


class RedisServer(Program):
    """`start` and `stop` as often as one likes; the port stays."""

    name = "redis-server"
    ready_s = 15.0

    def __init__(self, folder: Path, password: str | None = None) -> None:
        self.port = free_port()
        self.password = password
        self._folder = folder
        super().__init__(folder / "redis.log")

    @property
    def url(self) -> str:
        login = f":{self.password}@" if self.password else ""
        return f"redis://{login}127.0.0.1:{self.port}/0"

    def client(self) -> Redis:
        return Redis.from_url(self.url, decode_responses=True)

    def flush(self) -> None:
        """Forget all data, and the scripts too."""
        with self.client() as client:
            client.flushall()
            client.script_flush()

    def _command(self) -> list[str]:
        command = ["redis-server", "--bind", "127.0.0.1", "--port", str(self.port), "--dir", str(self._folder)]
        command += ["--save", "", "--appendonly", "no", "--loglevel", "warning"]
        return command + (["--requirepass", self.password] if self.password else [])

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
