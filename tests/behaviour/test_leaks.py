"""Control tokens that the engine's parser lets into the content are cut and counted."""

from __future__ import annotations

import pytest

from tests.behaviour.conftest import Shared
from tests.behaviour.engine_double import answer
from tests.behaviour.vllm import Reply

HEADER = ["<|start|>", "assistant", "<|channel|>", "commentary", " to", "=functions.f"]


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(
    ("content", "left"),
    [
        (["Well", *HEADER], "Well"),
        (["".join(["Well", *HEADER])], "Well"),
        (HEADER, ""),
        (["Well", "<|start|>"], "Well"),
        (["Well", "<|start|>", "assi"], "Well"),
        (["Well", "<|channel|>", "fin"], "Well"),
        (["Well", "<|return|>"], "Well"),
        (["Well", "<|end|>", *HEADER], "Well"),
        (["Well<|call|>"], "Well"),
        (["a", "<|channel|>analysis<|message|>", "secret"], "a"),
    ],
)
def test_cut_and_counted(shared: Shared, content: list[str], left: str, stream: bool) -> None:
    before = shared.gate.metric("portico_leaked_control_tokens_total", model="gpt-oss-20b")
    shared.engine.plan(answer(Reply(content, reasoning="hm")))
    reply = shared.chat(stream=stream)
    assert reply.text() == left
    assert reply.finish() == "stop"
    assert shared.gate.metric("portico_leaked_control_tokens_total", model="gpt-oss-20b") == before + 1


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(
    "content",
    [
        ["a < b", " and <", "b>"],
        ["The token <|start|> opens", " a message and <|end|> closes it."],
        ["x <| y"],
        ["<", "|", "s"],
        ["<|"],
    ],
)
def test_prose_passes(shared: Shared, content: list[str], stream: bool) -> None:
    shared.engine.plan(answer(Reply(content)))
    assert shared.chat(stream=stream).text() == "".join(content)
