"""What several test folders share, and the settings of hypothesis. Async tests run in uvloop, as the workers do."""

from __future__ import annotations

import asyncio
import inspect
import os
from pathlib import Path
from typing import NoReturn

import pytest
import uvloop
from hypothesis import HealthCheck, settings

from server.config import home
from server.engines.managed.install import find

# No deadline on machines that may be busy, and examples enough in a few seconds.
settings.register_profile("portico", deadline=None, max_examples=150, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("portico")

LONGEST_TEST_S = 60


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run coroutine tests."""
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    arguments = {name: pyfuncitem.funcargs[name] for name in inspect.signature(pyfuncitem.obj).parameters}
    uvloop.run(asyncio.wait_for(pyfuncitem.obj(**arguments), LONGEST_TEST_S))
    return True


def lacking(reason: str) -> NoReturn:
    """Something that `make test` sets up is missing: a failure in CI, a skip on a developer's machine."""
    if os.environ.get("CI"):
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def engine_python() -> Path:
    """The Python of the managed engine's environment, which has torch and openai_harmony."""
    installed = find("cpu", home(), demo=False) or find("cuda", home(), demo=False)
    if installed is None:
        lacking("the engine is not installed: run `make engine`")
    return installed.python
