"""The facts of one request, filled in as it travels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import ceil
from time import perf_counter
from typing import Any, Literal, NamedTuple

from server.config import Limit, Model, PriorityClass

NO_LIMITS = Limit()
BYTES_PER_TOKEN = 4  # of a request's body, about
NOISE = 1e-6  # of the arithmetic with prices, in millionths


@dataclass(frozen=True, slots=True)
class Project:
    """A tenant: what is fair is fair between projects."""

    id: str
    name: str
    weight: float = 1.0
    limits: Limit = NO_LIMITS
    model_limits: Mapping[str, Limit] = field(default_factory=dict[str, Limit])  # by the model's public id
    policy: str | None = None  # name of a moderation policy, in force beside that of the key


@dataclass(frozen=True, slots=True)
class Key:
    """Who calls. `name` is for logs; the secret is not here. None: no restriction."""

    id: str
    name: str
    project: Project
    limits: Limit = NO_LIMITS
    priority: PriorityClass = "standard"
    models: frozenset[str] | None = None  # public ids
    endpoints: frozenset[str] | None = None  # as `Call.endpoint`
    reasoning: Literal["shown", "hidden"] | None = None  # None: as the model's configuration says
    policy: str | None = None  # name of a moderation policy
    expires_at: float | None = None  # Unix seconds
    plans: dict[str, Any] = field(default_factory=dict[str, Any], compare=False, repr=False)  # of limits, by model


@dataclass(frozen=True, slots=True)
class Trace:
    """A call's place in a trace, with ids in lower-case hexadecimal as W3C Trace Context writes them."""

    trace_id: str
    parent: str | None  # the client's span
    span: str | None  # this call's; None where Portico makes no spans
    engine_parent: str  # the span that the engine continues
    sampled: bool

    @property
    def header(self) -> str:
        """`traceparent` for the engine."""
        return f"00-{self.trace_id}-{self.engine_parent}-{'01' if self.sampled else '00'}"


@dataclass(slots=True)
class Tokens:
    prompt: int = 0
    completion: int = 0
    cached: int = 0
    reasoning: int = 0

    def __add__(self, other: Tokens) -> Tokens:
        return Tokens(
            self.prompt + other.prompt,
            self.completion + other.completion,
            self.cached + other.cached,
            self.reasoning + other.reasoning,
        )


@dataclass(frozen=True, slots=True)
class ServedModel:
    """A model by its public id, however the client named it."""

    id: str
    config: Model
    created: int  # Unix seconds

    @property
    def engine_name(self) -> str:
        return self.config.engine_model or self.id

    def cost(self, prompt: int, completion: int = 0, cached: int = 0) -> int:
        """Of so many tokens, in millionths of the unit of the prices.

        Rounded up: nothing that was used is free for being little. Prices are per million tokens, so tokens times price
        is millionths already. `NOISE` is an error of the arithmetic and not a price, and is not rounded up.
        """
        price = self.config.price
        exact = prompt * price.input + completion * price.output
        if cached and price.cached_input is not None:
            exact -= min(cached, prompt) * (price.input - price.cached_input)
        return ceil(exact - NOISE)


class Rate(NamedTuple):
    """One limit as the headers tell it. `taken` is held for the call until it is settled."""

    limit: int
    remaining: int
    reset_s: float
    taken: int


class RateState(NamedTuple):
    """The tightest limits of a call."""

    requests: Rate | None
    tokens: Rate | None


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
    generates: bool = True  # the engine writes text for it; else it reads texts, and answers with vectors or scores
    size: int = 0  # of the body, bytes
    counted: int | None = None  # tokens of the prompt, where limits had to know before the engine said
    priority: PriorityClass = "standard"  # in the queue: the key's class, or a lower one that the client asked for
    cache_salt: str | None = None  # of the project: keeps its part of the engine's prefix cache apart
    answer_tokens: int | None = None  # the longest answer that was granted, where limits had to know
    guards: tuple[str, ...] = ()  # policies that the client asked for besides, by name
    check: Any = None  # of moderation: what its policies do to the call
    decisions: tuple[Any, ...] = ()  # of moderation, as they are kept: `stores.records.AuditRecord`
    client_request_id: str | None = None
    goes_on: bool = False  # with an answer that has begun: a server that stops lets it
    fallback_from: str | None = None  # id of the model that was asked for, if another one serves in its place
    trace: Trace | None = None
    received: float = field(default_factory=perf_counter)  # the body was complete
    queued_s: float = 0.0  # waited for an engine
    dispatched: float | None = None  # the request went to an engine
    first_token: float | None = None
    last_token: float | None = None
    engine_done: float | None = None  # the last byte of the engine's answer, or when it was broken off
    finished: float | None = None
    engine: str | None = None
    retries: int = 0
    streamed: int = 0  # events with text so far: completion tokens, about
    charged: float = 0.0  # by the fair queue, in weighted tokens
    tokens: Tokens | None = None
    estimated: bool = False  # `tokens` are the gateway's estimate: the engine does not count them
    stop_text: str | None = None  # that of the request which ended the answer
    rate: RateState | None = None
    status: int = 0
    outcome: str = "ok"

    def again(self, number: int, body: Any, size: int, trace: Trace | None) -> Call:
        """A further call for the same answer, the `number`th: the same client, key and model."""
        return Call(
            f"{self.id}.{number}",
            self.endpoint,
            self.key,
            self.model,
            body,
            self.stream,
            self.include_usage,
            size=size,
            priority=self.priority,
            cache_salt=self.cache_salt,
            guards=self.guards,
            client_request_id=self.client_request_id,
            fallback_from=self.fallback_from,
            trace=trace,
            goes_on=True,
        )

    @property
    def trace_id(self) -> str | None:
        return None if self.trace is None else self.trace.trace_id

    @property
    def reasoning_shown(self) -> bool:
        """Whether its client may read what the model thought: as the key says, else the model's configuration."""
        return (self.key.reasoning or self.model.config.reasoning) == "shown"

    @property
    def chats(self) -> bool:
        """It is a chat for the engine, in whatever shape it came."""
        return self.endpoint != "completions" and self.generates

    @property
    def prompt(self) -> int:
        """Tokens of the prompt as far as is known before the engine says: counted, else estimated from the size."""
        return self.size // BYTES_PER_TOKEN if self.counted is None else self.counted

    def used(self) -> Tokens:
        """What the engine counted. Where it never said: its prompt if it got one, and as many tokens as events came."""
        if self.tokens is not None:
            return self.tokens
        return Tokens() if self.dispatched is None else Tokens(self.prompt, self.streamed)

    def per_token_s(self) -> float | None:
        """Mean time of the tokens after the first, as vLLM and its benchmarks define time per output token."""
        if self.first_token is None or self.last_token is None:
            return None
        further = (self.streamed if self.tokens is None else self.tokens.completion) - 1
        return (self.last_token - self.first_token) / further if further > 0 else None

    def overhead_s(self) -> float:
        """Time in the gateway: from request to dispatch, less the queue, and from the engine's last byte to the end."""
        end = self.finished if self.finished is not None else self.received
        if self.dispatched is None:
            return end - self.received - self.queued_s
        after = end - self.engine_done if self.engine_done is not None else 0.0
        return self.dispatched - self.received - self.queued_s + after
