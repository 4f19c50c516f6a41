"""The makes, one table each. docs/engines.md says which versions were looked at and what was run.

What is here was read in the sources and documentation of each (tests/behaviour/makes/ names them with the shapes that
they answer), and of `transformers serve` it was seen on the running server.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import get_args

from server.config import EngineMake
from server.engines.makes.make import Make, Wish

_SAMPLING: tuple[Wish, ...] = ("seed", "frequency_penalty", "presence_penalty")
_FURTHER: tuple[Wish, ...] = ("top_k", "min_p", "repetition_penalty")
_JSON: tuple[Wish, ...] = ("json_object", "json_schema")
_CALLS: tuple[Wish, ...] = ("tools", "tool_choice", "parallel_tool_calls")


def _grants(*wishes: Wish) -> frozenset[Wish]:
    return frozenset(wishes)


VLLM = Make("vllm", "vLLM", frozenset(get_args(Wish)), usage="continuous", health_path=None)

SGLANG = Make(
    "sglang",
    "SGLang",
    _grants(
        *(*_SAMPLING, *_FURTHER, *_JSON, *_CALLS),
        *("n", "logprobs", "logit_bias", "named_tool", "min_tokens", "prompts", "echo", "prompt_logprobs", "stop"),
        *("dimensions", "token_ids"),
    ),
    bare_rerank=True,
    thoughts=("reasoning_content", "reasoning"),
    past_thoughts="reasoning_content",
    usage="continuous",
    health_path="/health",
)

LMSTUDIO = Make(
    "lmstudio",
    "LM Studio",
    _grants(*_SAMPLING, "logit_bias", "json_schema", "tools", "tool_choice", "top_k", "repetition_penalty", "stop"),
    developer=False,
    inline=frozenset(("think",)),
    names={"repetition_penalty": "repeat_penalty"},
)

OLLAMA = Make(
    "ollama",
    "Ollama",
    # Log probabilities since 0.12.11. It ignores any `tool_choice`.
    _grants(*_SAMPLING, *_JSON, "logprobs", "tools", "stop", "dimensions"),
    developer=False,
    inline=frozenset(("think",)),
)

LLAMACPP = Make(
    "llamacpp",
    "llama.cpp",
    _grants(*_SAMPLING, *_FURTHER, *_JSON, *_CALLS, "logprobs", "logit_bias", "stop", "token_ids"),
    effort="template",
    thoughts=("reasoning_content", "reasoning"),
    past_thoughts="reasoning_content",
    inline=frozenset(("think", "harmony")),  # with --reasoning-format none
    health_path="/health",
    names={"repetition_penalty": "repeat_penalty"},
)

TRANSFORMERS = Make(
    "transformers",
    "transformers serve",
    # It makes a repetition penalty of `frequency_penalty`, leaves stop texts in, and ignores all else without a word.
    _grants("seed", "tools"),
    effort="template",
    thoughts=("reasoning_content", "reasoning"),
    past_thoughts="thinking",  # what gpt-oss's chat template reads
    usage="unasked",
    inline=frozenset(("think", "harmony")),
    health_path="/health",  # its /v1/models answers 500 for a model that is a folder
)

MAKES: Mapping[EngineMake, Make] = {
    make.name: make for make in (VLLM, SGLANG, LMSTUDIO, OLLAMA, LLAMACPP, TRANSFORMERS)
}
