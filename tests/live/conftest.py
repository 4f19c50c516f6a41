"""Fixtures of the live tests: one real vLLM with the demo model, started by one real `portico serve`.

PORTICO_LIVE_ENGINE=http://127.0.0.1:8100 (no /v1; PORTICO_LIVE_ENGINE_KEY where it has one) puts the gateway in front
of an engine that runs already instead: quicker while tests are written, and the way to try another engine.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import openai
import pytest

from server.config import home
from server.engines.managed.install import find
from tests.conftest import lacking
from tests.live.service import Engine, Service, wait_for
from tests.live.wire import AsyncTransport, Transport, Wire

HERE = Path(__file__).parent
START_S = 240  # a loaded machine with two cores; 20 to 40 s otherwise
MODEL = "gpt-oss-demo"
CONTEXT_LENGTH = 16_384  # twice the demo model's own: coding tools begin with 10,000 tokens
TOO_LONG = "word " * (CONTEXT_LENGTH + 1000)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.live)
            if item.get_closest_marker("timeout") is None:  # the first test of a run waits for the engine too
                item.add_marker(pytest.mark.timeout(START_S + 60))


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """`portico serve` with the managed demo engine (or before PORTICO_LIVE_ENGINE), ready."""
    folder = tmp_path_factory.mktemp("service")
    if url := os.environ.get("PORTICO_LIVE_ENGINE"):
        engine = {"url": f"{url}/v1", "api_key": os.environ.get("PORTICO_LIVE_ENGINE_KEY")}
        aliases = ["gpt-oss-20b", "gpt-oss-120b", "gpt-4o-mini", "gpt-4o"]
        model = {
            "engines": ["local"],
            "aliases": aliases,
            "context_length": CONTEXT_LENGTH,
            "description": "Demo model.",
        }
        model["defaults"] = {"max_tokens": 2048, "temperature": 0.2}  # as its preset
        started = Service({"engines": {"local": engine}, "models": {MODEL: model}}, folder)
    else:
        if find("cpu", home(), demo=False) is None:
            lacking("the engine is not installed: run `make engine`")
        longer = [f"--max-model-len={CONTEXT_LENGTH}"]
        managed = {"model": "demo", "device": "cpu", "port": 0, "args": longer}
        started = Service({"engines": {"local": {"managed": managed}}}, folder, home_beside(folder))
    started.ready(START_S)
    yield started
    started.stop()


def home_beside(folder: Path) -> Path:
    """A home with the installed engines and models, and with logs and state of its own."""
    own = folder / "home"
    own.mkdir()
    for part in ("engines", "models"):
        (home() / part).mkdir(parents=True, exist_ok=True)
        (own / part).symlink_to(home() / part)
    return own


@pytest.fixture(scope="session")
def engine(service: Service) -> Engine:
    """vLLM itself, behind the service."""
    if url := os.environ.get("PORTICO_LIVE_ENGINE"):
        return Engine(url, os.environ.get("PORTICO_LIVE_ENGINE_KEY", ""))
    return service.engine()


@pytest.fixture
def idle_engine(engine: Engine) -> Engine:
    wait_for(lambda: engine.busy == 0, 30, "the engine has nothing to do")
    return engine


@pytest.fixture
def direct(engine: Engine) -> Iterator[httpx2.Client]:
    """The engine without Portico, to see what it really answers."""
    headers = {"authorization": f"Bearer {engine.key}"} if engine.key else {}
    with httpx2.Client(base_url=engine.root, headers=headers, timeout=60) as client:
        yield client


@pytest.fixture
def gateway(engine: Engine, tmp_path: Path) -> Iterator[Callable[..., Service]]:
    """Starts a further gateway before the same engine: `gateway(model={...}, engine={...}, server={...})`."""
    started: list[Service] = []

    def start(
        model: dict[str, Any] | None = None, engine_settings: dict[str, Any] | None = None, **sections: Any
    ) -> Service:
        local = {"url": f"{engine.root}/v1", "api_key": engine.key or None, **(engine_settings or {})}
        served = {"engines": ["local"], "context_length": CONTEXT_LENGTH, **(model or {})}
        folder = tmp_path / f"gateway{len(started)}"
        folder.mkdir()
        one = Service({"engines": {"local": local}, "models": {MODEL: served}, **sections}, folder)
        started.append(one)
        one.ready(30)
        return one

    yield start
    for one in started:
        if one.process.poll() is None:
            one.stop()


@pytest.fixture
def wire() -> Iterator[Wire]:
    """Keeps what the clients of this test receive, and checks it when the test is over."""
    kept = Wire()
    yield kept
    kept.check()


@pytest.fixture
def client(service: Service, wire: Wire) -> Iterator[openai.OpenAI]:
    with client_of(service, wire) as made:
        yield made


def client_of(service: Service, wire: Wire, **options: Any) -> openai.OpenAI:
    settings: dict[str, Any] = {"api_key": service.key, "max_retries": 0, "timeout": 60, **options}
    return openai.OpenAI(
        base_url=service.base_url, http_client=httpx2.Client(transport=Transport(wire), timeout=60), **settings
    )


def async_client_of(service: Service, wire: Wire) -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(
        base_url=service.base_url,
        api_key=service.key,
        max_retries=0,
        timeout=120,
        http_client=httpx2.AsyncClient(transport=AsyncTransport(wire), timeout=120),
    )


@pytest.fixture
def aclient(service: Service, wire: Wire) -> Iterator[Callable[[], openai.AsyncOpenAI]]:
    """Makes an asynchronous client; to be called within the event loop of the test."""
    yield lambda: async_client_of(service, wire)
