from __future__ import annotations

import pytest

from server.answers.logprobs import final_tokens
from server.openai.chunks import TokenLogprob


@pytest.mark.parametrize(
    ("tokens", "left"),
    [
        ([], []),
        (["a", "b"], ["a", "b"]),
        (["<|channel|>", "final", "<|message|>", "a", "<|return|>"], ["a"]),
        (["<|message|>", "x", "<|end|>", "<|start|>", "assistant", "<|message|>", "a", "b"], ["a", "b"]),
        (["a", "<|end|>"], ["a"]),
        (["<|message|>"], []),
        (["<|", "|>"], ["<|", "|>"]),
    ],
)
def test_final_tokens(tokens: list[str], left: list[str]) -> None:
    assert [one.token for one in final_tokens([TokenLogprob(token, 0.0) for token in tokens])] == left
