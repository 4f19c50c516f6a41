"""Calls that are answered here, without a model: they have a usage record too, however they end."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from time import perf_counter

from server.call import Call, Tokens
from server.errors import GatewayError

Ended = Callable[[Call], None]
"""Hears of a call that has ended."""


@contextmanager
def recorded(call: Call, ended: Ended) -> Generator[None]:
    """`ended` hears of the call with its status and outcome."""
    call.tokens = Tokens()
    call.status, call.outcome = GatewayError.status, GatewayError.outcome  # if it is a bug that ends it
    try:
        yield
        call.status, call.outcome = 200, "ok"
    except GatewayError as error:
        call.status, call.outcome = error.status, error.outcome
        raise
    finally:
        call.finished = perf_counter()
        ended(call)
