"""Async tests run in uvloop, as the workers do."""

from __future__ import annotations

import asyncio
import inspect

import pytest
import uvloop

LONGEST_TEST_S = 30


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    arguments = {name: pyfuncitem.funcargs[name] for name in inspect.signature(pyfuncitem.obj).parameters}
    uvloop.run(asyncio.wait_for(pyfuncitem.obj(**arguments), LONGEST_TEST_S))
    return True
