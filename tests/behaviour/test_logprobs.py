"""Log probabilities cover the answer and not what the engine thought before it."""

from __future__ import annotations

from typing import Any

import pytest

from tests.behaviour.conftest import Shared
from tests.behaviour.engine_double import EngineDouble, Exchange, answer
from tests.behaviour.serving import portico
from tests.behaviour.vllm import Reply, chunk

PIECES = ["<|channel|>", "analysis", "<|message|>", "hm", "<|end|>", "<|start|>", "assistant", "<|channel|>", "final"]
PIECES += ["<|message|>", "Hello", " you", "<|return|>"]
TOOL = {"type": "function", "function": {"name": "f"}}  # makes the engine stream to an unstreamed call


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


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(
    ("pieces", "stop", "left"),
    [
        (["a", "EN", "x", "EN", "D", "b"], "END", ["a", "EN", "x"]),
        (["a", "EN"], "END", ["a", "EN"]),
        (["a", " xEN", "D"], "END", ["a", " xEN"]),  # some of its text was shown
        (["a ", "<", "|", " b"], None, ["a ", "<", "|", " b"]),  # could have become a control token
        (["a ", "<|end|>", "<|start|>", "assistant", "x"], None, ["a "]),
    ],
)
def test_they_stay_with_their_text(
    shared: Shared, pieces: list[str], stop: str | None, left: list[str], stream: bool
) -> None:
    reply = Reply(pieces, logprobs=[probability(piece) for piece in pieces])
    shared.engine.plan(answer(reply))
    body = shared.chat(logprobs=True, stop=stop, stream=stream, **({} if stream else {"tools": [TOOL]}))
    choices = [choice for event in body.events for choice in event["choices"]] if stream else body.json["choices"]
    assert [one["token"] for choice in choices for one in (choice.get("logprobs") or {}).get("content", ())] == left
    assert "".join(left).startswith(body.text())


@pytest.mark.parametrize("shown", [True, False])
async def test_a_letter_of_several_tokens(shown: bool) -> None:
    """vLLM streams all but the last of them beside an empty delta."""
    rows: list[tuple[dict[str, str], str]] = [
        ({}, "<|channel|>"), ({}, "analysis"), ({}, "<|message|>"), ({}, ""), ({"reasoning": "🦄"}, "🦄"),
        ({}, "<|end|>"), ({}, "<|start|>"), ({}, "assistant"), ({}, "<|channel|>"), ({}, "final"), ({}, "<|message|>"),
        ({"content": "a"}, "a"), ({}, ""), ({}, ""), ({"content": "🧭"}, "🧭"), ({"content": "b"}, "b"),
        ({}, "<|return|>"),
    ]  # fmt: skip

    async def script(exchange: Exchange) -> None:
        body = exchange.call.json
        await exchange.head()
        await exchange.event(chunk(body, {"role": "assistant", "content": ""}))
        for delta, token in rows:
            await exchange.event(chunk(body, delta, logprobs={"content": [probability(token)]}))
        await exchange.event(chunk(body, {}, finish="stop"))
        await exchange.part(b"data: [DONE]\n\n")
        await exchange.end()

    reasoning = {"reasoning": "shown" if shown else "hidden"}
    async with EngineDouble() as engine, portico(engine, model=reasoning) as gate:
        engine.plan(script)
        reply = await gate.chat(logprobs=True, stream=True)
    parts = [choice["logprobs"] for event in reply.events for choice in event["choices"] if choice.get("logprobs")]
    assert [[one["token"] for one in part["content"]] for part in parts] == [["a"], ["", "", "🧭"], ["b"]]
    assert reply.text() == "a🧭b"


def test_completions_pass_on_what_they_have(shared: Shared) -> None:
    assert shared.complete(logprobs=2).json["choices"][0]["logprobs"] is None
