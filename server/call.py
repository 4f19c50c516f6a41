"""The facts of one request, filled in as it travels."""

from __future__ import annotations

from dataclasses import dataclass, field
from time import perf_counter
from typing import Any

from server.config import Model


@dataclass(frozen=True, slots=True)
class Key:
    """Who calls. `name` is for logs; the secret is not here."""

    name: str


@dataclass(frozen=True, slots=True)
class ServedModel:
    """A model by its public id, however the client named it."""

    id: str
    config: Model
    created: int  # Unix seconds

    @property
    def engine_name(self) -> str:
        return self.config.engine_model or self.id


@dataclass(slots=True)
class Tokens:
    prompt: int = 0
    completion: int = 0
    cached: int = 0
    reasoning: int = 0


@dataclass(slots=True, eq=False)
class Call:
    """Times are `perf_counter` seconds; None until the moment has come."""

    id: str
    endpoint: str
    key: Key
    model: ServedModel
    body: Any  # the parsed request of the endpoint
    stream: bool
    include_usage: bool
    client_request_id: str | None = None
    received: float = field(default_factory=perf_counter)  # the body was complete
    queued_s: float = 0.0  # waited for an engine
    dispatched: float | None = None  # the request went to an engine
    first_token: float | None = None
    last_token: float | None = None
    engine_done: float | None = None  # the last byte of the engine's answer
    finished: float | None = None
    engine: str | None = None
    retries: int = 0
    tokens: Tokens | None = None
    streamed: int = 0  # events with text so far: completion tokens, about
    status: int = 0
    outcome: str = "ok"

    def overhead_s(self) -> float:
        """Time in the gateway: from request to dispatch, less the queue, and from the engine's last byte to the end."""
        end = self.finished if self.finished is not None else self.received
        if self.dispatched is None:
            return end - self.received - self.queued_s
        after = end - self.engine_done if self.engine_done is not None else 0.0
        return self.dispatched - self.received - self.queued_s + after
