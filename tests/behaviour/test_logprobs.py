"""Log probabilities cover the answer and not what the engine thought before it."""

from __future__ import annotations

from typing import Any

import pytest

from tests.behaviour.conftest import Shared
from tests.behaviour.engine_double import Exchange, answer
from tests.behaviour.vllm import Reply, chunk

PIECES = ["<|channel|>", "analysis", "<|message|>", "hm", "<|end|>", "<|start|>", "assistant", "<|channel|>", "final"]
PIECES += ["<|message|>", "Hello", " you", "<|return|>"]


def probability(token: str) -> dict[str, Any]:
    top = [{"token": token, "logprob": -0.5, "bytes": list(token.encode())}]
    return {"token": token, "logprob": -0.5, "bytes": list(token.encode()), "top_logprobs": top, "rank": 1}


def test_whole(shared: Shared) -> None:
    reply = Reply(["Hello", " you"], reasoning="hm", logprobs=[probability(piece) for piece in PIECES])
    shared.engine.plan(answer(reply))
    choice = shared.chat(logprobs=True, top_logprobs=1).json["choices"][0]
    assert [one["token"] for one in choice["logprobs"]["content"]] == ["Hello", " you"]
    assert choice["logprobs"]["content"][0]["top_logprobs"][0]["token"] == "Hello"
    assert "rank" not in choice["logprobs"]["content"][0]


@pytest.mark.parametrize("stop", [None, "zzz"])
def test_streamed(shared: Shared, stop: str | None) -> None:
    async def script(exchange: Exchange) -> None:
        body = exchange.call.json
        await exchange.head()
        await exchange.event(chunk(body, {"role": "assistant", "content": ""}))
        for piece in PIECES:
            delta = {"hm": {"reasoning": piece}, "Hello": {"content": piece}, " you": {"content": piece}}.get(piece, {})
            await exchange.event(chunk(body, delta, logprobs={"content": [probability(piece)]}))
        await exchange.event(chunk(body, {}, finish="stop"))
        await exchange.part(b"data: [DONE]\n\n")
        await exchange.end()

    shared.engine.plan(script)
    reply = shared.chat(logprobs=True, stream=True, stop=stop)
    choices = [event["choices"][0] for event in reply.events]
    tokens = [one["token"] for choice in choices if choice.get("logprobs") for one in choice["logprobs"]["content"]]
    assert tokens == ["Hello", " you"]
    assert reply.text() == "Hello you"
    assert all(choice["delta"] or choice["finish_reason"] for choice in choices), "an event without news"


def test_completions_pass_on_what_they_have(shared: Shared) -> None:
    assert shared.complete(logprobs=2).json["choices"][0]["logprobs"] is None
