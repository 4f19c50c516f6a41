"""The part of the composition for responses: from what is stored to the relay, the routes and the writer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from socket import gethostname
from typing import Protocol

from fastapi import APIRouter

from server.api.background import Background
from server.api.calls import CallFactory
from server.api.relay import Relay
from server.api.response_calls import ResponseCalls
from server.api.response_routes import prompt_routes, response_routes
from server.api.responses import CompactAnswers, ResponseAnswers
from server.api.tool_runs import ToolRuns
from server.auth.keys import KeyRing
from server.batches.tools import LineKind
from server.config import Config
from server.gateway import Gateway
from server.responses.seal import Sealer
from server.state.beside import Beside
from server.state.past import PastFinder
from server.state.runs import Runs
from server.state.writer import ResponseWriter
from server.stores.responses import ConversationStore, ResponseStore
from server.telemetry.metrics import Metrics
from server.tokens.counter import TokenCounter
from server.toolbox.toolbox import Toolbox


class StateStore(ResponseStore, ConversationStore, Protocol):
    """What keeps both."""


class Stopping(Protocol):
    """What runs beside the requests."""

    async def start(self) -> None: ...

    async def stop(self) -> None: ...


@dataclass(frozen=True)
class Responding:
    calls: ResponseCalls
    answers: ResponseAnswers
    routers: tuple[APIRouter, ...]
    compactions: CompactAnswers
    background: tuple[Stopping, ...]  # in the order in which they are to stop

    @property
    def lines(self) -> LineKind:
        """Of batches."""
        return LineKind("responses", self.calls.line, self.answers.line)

    def relays(self, relay: Callable[..., Relay]) -> dict[str, Relay]:
        return {
            "/v1/responses": relay("responses", self.calls.new, answers=self.answers),
            "/v1/responses/compact": relay("responses", self.calls.compact, answers=self.compactions),
        }


def responding(
    store: StateStore,
    gateway: Gateway,
    keys: KeyRing,
    factory: CallFactory,
    counter: TokenCounter,
    sealer: Sealer,
    metrics: Metrics,
    config: Config,
) -> Responding:
    settings, lost = config.server, metrics.stores.response_lost
    beside, writer = Beside(), ResponseWriter(store, lost)
    runs = Runs(store, lost, gethostname())
    toolbox = Toolbox(config.tools, metrics.tools) if config.tools.servers else None
    begin = gateway.start if toolbox is None else ToolRuns(gateway, toolbox, sealer).begin
    background = Background(gateway, begin, store, runs, sealer, settings.shutdown_grace_s)
    calls = ResponseCalls(factory, PastFinder(store), toolbox, counter, beside, settings.max_body_bytes)
    routers = (prompt_routes(keys, factory, calls, counter, settings), response_routes(keys, store, runs))
    answers, compactions = ResponseAnswers(sealer, writer, background, begin), CompactAnswers(sealer)
    stopping = (background, beside, writer, *(() if toolbox is None else (toolbox,)))
    return Responding(calls, answers, routers, compactions, stopping)
