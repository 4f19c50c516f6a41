"""Requests of every kind, for properties of counts, and the calls that they become."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import strategies as st

from server.anthropic.signature import Signer
from server.api.calls import CallFactory, Catalogue
from server.call import Call, Key, Project, ServedModel
from server.config import Model
from server.responses.seal import Sealer

KEY = Key("key_1", "k", Project("proj_1", "one"))
WORDS = (
    *(
        "hello",
        " world",
        "don't",
        "I'LL",
        " 12345",
        "3.14",
        "_x_",
        "CamelCase",
        "null",
        "//",
        "/*",
        "```",
        "==",
        "{",
        "}",
    ),
    *("\n\n", "  ", "\t", "\r\n", "\u00a0", "\u200b", "\x1c", "\x00", '"', "\\", ",", "'s"),
    *("你好", "，", "。", "日本語", "สวัสดี", "हिन्दी", "😀", "👩\u200d👩\u200d👧", "é", "e\u0301", "ſ"),
    *("<|start|>", "<|end|>", "<|message|>"),
)
texts = st.one_of(st.text(max_size=40), st.lists(st.sampled_from(WORDS), max_size=30).map("".join))
names = st.from_regex(r"[A-Za-z0-9_-]{1,64}", fullmatch=True)
parts = st.lists(st.fixed_dictionaries({"type": st.just("text"), "text": texts}), min_size=1, max_size=3)
contents = texts | parts
scalars = (
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False, allow_infinity=False) | texts
)
anything = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3), max_leaves=6
)


def _schemas(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    types = st.sampled_from(("object", "string", "integer", "number", "boolean", "array", "null", "x"))
    return st.fixed_dictionaries(
        {},
        optional={
            "type": st.just("object") | types | st.lists(types, max_size=3),
            "title": texts,
            "description": texts,
            "default": anything,
            "enum": st.lists(scalars, max_size=3),
            "examples": st.lists(scalars, max_size=3),
            "nullable": st.booleans(),
            "properties": st.dictionaries(texts, inner, max_size=3),
            "required": st.lists(texts, max_size=2),
            "items": inner,
            "oneOf": st.lists(inner, max_size=3),
            "anyOf": st.lists(inner, max_size=2),
            "x-more": anything,
        },
    )


schemas: st.SearchStrategy[Any] = st.recursive(st.just({}), _schemas, max_leaves=12)
functions = st.fixed_dictionaries(
    {"name": names},
    optional={"description": texts, "parameters": schemas | st.dictionaries(texts, anything, max_size=3)},
)
tools = st.lists(functions, max_size=4, unique_by=lambda one: str(one["name"])).map(
    lambda found: [{"type": "function", "function": one} for one in found]
)


@st.composite
def _turns(draw: st.DrawFn) -> list[dict[str, Any]]:
    """One message, or an assistant's calls with their results."""
    role = draw(st.sampled_from(("system", "developer", "user", "assistant", "calls")))
    if role not in ("assistant", "calls"):
        return [{"role": role, "content": draw(contents)}]
    said: dict[str, Any] = {"role": "assistant", "content": draw(contents)}
    said |= draw(st.fixed_dictionaries({}, optional={"reasoning": texts}))
    said |= draw(st.fixed_dictionaries({}, optional={"reasoning_content": texts, "refusal": texts}))
    if role == "assistant":
        thoughts = (said.get(name) for name in ("reasoning", "reasoning_content", "refusal"))
        says_something = any(thoughts) or said.get("content") is not None
        return [said if says_something else said | {"content": draw(contents)}]
    ids = draw(st.lists(st.sampled_from(("a", "b", "call_1")), min_size=1, max_size=3, unique=True))
    said["tool_calls"] = [
        {"id": one, "type": "function", "function": {"name": draw(names), "arguments": draw(texts)}} for one in ids
    ]
    said |= {"content": None} if draw(st.booleans()) else {}
    return [said, *({"role": "tool", "tool_call_id": one, "content": draw(contents)} for one in ids)]


messages = st.lists(_turns(), min_size=1, max_size=6).map(lambda found: [one for turn in found for one in turn])
chats = st.fixed_dictionaries(
    {"messages": messages},
    optional={
        "tools": tools,
        "reasoning_effort": st.sampled_from(("none", "minimal", "low", "medium", "high", "xhigh", "max")),
    },
)


def call_of(body: dict[str, Any], *, ascii_only: bool = True, **model: Any) -> Call:
    """As the gateway makes it. `ascii_only`: with escapes in the JSON."""
    served = ServedModel("m", Model(engines=("e",), **model), 1)
    data = json.dumps({"model": "m", **body}, ensure_ascii=ascii_only, separators=(",", ":")).encode()
    secret = b"secret"
    factory = CallFactory(
        Catalogue({"m": served}), 500, lambda project: "salt", Signer(secret), Sealer(secret), lambda model: True
    )
    return (factory.completion if "prompt" in body else factory.chat)(data, KEY, "req_1")
