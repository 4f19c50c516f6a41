"""A request for vLLM in the words of another make. Pure."""

from __future__ import annotations

from typing import Any, cast

from server.engines.makes.make import Make, Wish

_WISHED: tuple[tuple[Wish, tuple[str, ...]], ...] = (
    ("tool_choice", ("tool_choice",)),
    ("json_schema", ("response_format",)),
    *((name, (name,)) for name in (
        "n", "logit_bias", "seed", "frequency_penalty", "presence_penalty", "parallel_tool_calls", "top_k", "min_p",
        "repetition_penalty", "length_penalty", "min_tokens", "include_stop_str_in_output", "echo",
    )),
)  # fmt: skip
"""Fields that go with a wish. Where it is not granted they hold a default (wishes.py refuses all else): left out."""


def adapt(tree: dict[str, Any], make: Make) -> dict[str, Any]:
    """Changes `tree`, the body as vLLM takes it, into what `make` takes, and returns it."""
    completion = "prompt" in tree
    for wish, fields in (*_WISHED, ("prompt_logprobs" if completion else "logprobs", ("logprobs", "top_logprobs"))):
        if wish not in make.grants:
            for name in fields:
                tree.pop(name, None)
    for name, own in make.names.items():
        if name in tree:
            tree[own] = tree.pop(name)
    _stream_options(tree, make)
    _effort(tree, make)
    prompt = tree.get("prompt")
    if isinstance(prompt, list) and "prompts" not in make.grants:
        tree["prompt"] = prompt[0]  # the only one
    for message in cast("list[dict[str, Any]]", tree.get("messages") or ()):
        _message(message, make)
    return tree


def _stream_options(tree: dict[str, Any], make: Make) -> None:
    if make.usage == "unasked":
        tree.pop("stream_options", None)
    elif make.usage == "at end" and "stream_options" in tree:
        tree["stream_options"] = {"include_usage": True}


def _effort(tree: dict[str, Any], make: Make) -> None:
    if make.effort == "field":
        return
    effort = tree.pop("reasoning_effort", None)
    if effort is not None and make.effort == "template":
        tree["chat_template_kwargs"] = {"reasoning_effort": effort}


def _message(message: dict[str, Any], make: Make) -> None:
    if message["role"] == "developer" and not make.developer:
        message["role"] = "system"
    content = message.get("content")
    if isinstance(content, list):  # vLLM puts the texts of parts on lines of their own; others have other ideas
        parts = cast("list[dict[str, Any]]", content)
        message["content"] = "\n".join(part["text"] for part in parts)
    if make.past_thoughts != "reasoning" and "reasoning" in message:
        message[make.past_thoughts] = message.pop("reasoning")
