"""A real S3-compatible server of the tests' own, moto's: loopback, a free port, nothing kept on disk."""

from __future__ import annotations

import os
import secrets
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.services.program import Program
from tests.services.redis import free_port

SIGNED = "AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=0"


class S3Server(Program):
    """`environment` is what whoever uses it needs; `bucket` makes a new one. What it has is gone when it stops."""

    name = "moto"

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        super().__init__(folder / "s3.log")

    @property
    def environment(self) -> dict[str, str]:
        return {
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "secret-of-the-tests",
            "AWS_REGION": "us-east-1",
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{self.port}",
        }

    def bucket(self) -> str:
        """A new one, by its URL with a prefix."""
        name = f"portico-{secrets.token_hex(6)}"
        self.request("PUT", name)
        return f"s3://{name}/some/where"

    def request(self, method: str, path: str) -> str:
        """As nobody in particular: moto looks at no signature."""
        url = f"http://127.0.0.1:{self.port}/{path}"
        asked = urllib.request.Request(url, method=method, headers={"authorization": SIGNED})
        with urllib.request.urlopen(asked, timeout=10) as reply:
            return reply.read().decode()

    def keys(self, url: str) -> list[str]:
        """All in the bucket of `url`, without its prefix."""
        bucket, _, prefix = url.removeprefix("s3://").partition("/")
        text = self.request("GET", f"{bucket}?list-type=2")
        return sorted(one.partition("</Key>")[0].removeprefix(f"{prefix}/") for one in text.split("<Key>")[1:])

    def uploads(self, url: str) -> int:
        """Those in parts that have not ended."""
        bucket = url.removeprefix("s3://").partition("/")[0]
        return self.request("GET", f"{bucket}?uploads").count("<UploadId>")

    def _command(self) -> list[str]:
        return [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(self.port)]

    def _answers(self) -> bool:
        try:
            self.request("GET", "moto-api/")
        except (urllib.error.URLError, OSError):
            return False
        return True


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    server = S3Server(tmp_path_factory.mktemp("s3"))
    server.start()
    try:
        yield server
    finally:
        server.stop()


@contextmanager
def environment_of(server: S3Server) -> Iterator[None]:
    """That of this process, while something is made that reads it."""
    before = {name: os.environ.get(name) for name in server.environment}
    os.environ.update(server.environment)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
