"""From a call to its usage record."""

from __future__ import annotations

from math import ceil
from time import time

from server.call import Call, Tokens
from server.config import Price
from server.stores.records import UsageRecord

LOST = "lost"
"""The outcome of a call in whose middle its worker was killed."""
BYTES_PER_TOKEN = 4  # of a request's body, about; stands in where nobody counted
NOISE = 1e-6  # of the arithmetic, in millionths


def cost(price: Price, tokens: Tokens) -> int:
    """In millionths of the unit of the prices, rounded up: nothing that was used is free for being little.

    Prices are per million tokens, so tokens times price is millionths already. `NOISE` is an error of the
    arithmetic and not a price, and is not rounded up.
    """
    prompt, cached, fresh = tokens.prompt, tokens.cached, price.input
    exact = prompt * fresh + tokens.completion * price.output
    if cached and price.cached_input is not None:
        exact -= (cached if cached < prompt else prompt) * (fresh - price.cached_input)
    return ceil(exact - NOISE)


def used(call: Call, prompt: int | None) -> Tokens:
    """What the engine counted. Where it never said: its prompt if it got one, and as many tokens as events came."""
    if call.tokens is not None:
        return call.tokens
    if call.dispatched is None:
        return Tokens()
    return Tokens(call.size // BYTES_PER_TOKEN if prompt is None else prompt, call.streamed)


def record_of(call: Call, prompt: int | None = None) -> UsageRecord:
    """Of a call that has ended. `prompt`: its tokens, where somebody has counted or estimated them."""
    tokens = used(call, prompt)
    first, received = call.first_token, call.received
    return UsageRecord(
        call.id,
        time(),
        call.key.project.id,
        call.key.id,
        call.model.id,
        call.endpoint,
        call.priority,
        call.outcome,
        call.status,
        tokens.prompt,
        tokens.cached,
        tokens.completion,
        tokens.reasoning,
        cost(call.model.config.price, tokens),
        call.queued_s * 1000,
        None if first is None else (first - received) * 1000,
        0.0 if call.finished is None else (call.finished - received) * 1000,
    )


def lost_record_of(call: Call, prompt: int | None = None) -> UsageRecord:
    """Of a call that goes to an engine now: what counts if its worker is killed before it ends."""
    if prompt is None:
        prompt = call.size // BYTES_PER_TOKEN
    return UsageRecord(
        call.id,
        time(),
        call.key.project.id,
        call.key.id,
        call.model.id,
        call.endpoint,
        call.priority,
        LOST,
        0,
        prompt,
        0,
        0,
        0,
        ceil(prompt * call.model.config.price.input - NOISE),
        call.queued_s * 1000,
    )
