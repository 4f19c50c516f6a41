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
from server.api.response_routes import TokenCounter, prompt_routes, response_routes
from server.api.responses import ResponseAnswers, ResponseCalls
from server.auth.keys import KeyRing
from server.config import Server
from server.gateway import Gateway
from server.responses.seal import Sealer
from server.state.past import PastFinder
from server.state.runs import Runs
from server.state.writer import ResponseWriter
from server.stores.responses import ConversationStore, ResponseStore


class StateStore(ResponseStore, ConversationStore, Protocol):
    """What keeps both."""


@dataclass(frozen=True)
class Responding:
    calls: ResponseCalls
    answers: ResponseAnswers
    routers: tuple[APIRouter, ...]
    background: tuple[Background, PastFinder, ResponseWriter]  # in the order in which they are to stop

    def relays(self, relay: Callable[..., Relay]) -> dict[str, Relay]:
        return {"/v1/responses": relay("responses", self.calls.new, answers=self.answers)}


def responding(
    store: StateStore,
    gateway: Gateway,
    keys: KeyRing,
    factory: CallFactory,
    counter: TokenCounter,
    sealer: Sealer,
    lost: Callable[[], None],
    settings: Server,
) -> Responding:
    """`lost` hears of each response that could not be stored."""
    past, writer = PastFinder(store), ResponseWriter(store, lost)
    runs = Runs(store, lost, gethostname())
    background = Background(gateway, store, runs, sealer, settings.shutdown_grace_s)
    routers = (prompt_routes(keys, factory, past, counter, settings), response_routes(keys, store, runs))
    calls = ResponseCalls(factory, past, settings.max_body_bytes)
    return Responding(calls, ResponseAnswers(sealer, writer, background), routers, (background, past, writer))
