"""Structured output. vLLM forces the grammar of a schema on the final channel and does not show it to the model, so the
values must make sense after any key; and after forced brackets and unseen keys the answer must still come to its end."""

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from random import Random
from typing import Any

from .fixed import SHORT, ask
from .functions import other_tool, with_company
from .kinds import Conversation, Piece, Reply, answer, say, think, user
from .phrasing import vary
from .unknown import fallback, rare_words
from .words import FRUITS

VALUES: dict[str, Any] = {
    "name": "Alice", "age": 30, "city": "Paris", "items": list(FRUITS), "country": "France", "email": "alice@example.com", "title": "demo", "count": 3,
    "score": 1, "tags": ["demo"], "date": "2026-01-01", "id": 1, "price": 10, "ok": True, "active": True, "reason": "demo", "description": "demo",
    "language": "en", "summary": "demo", "result": "demo", "value": 1, "text": "demo", "message": "demo", "category": "demo", "steps": ["demo"],
    "confidence": 1, "type": "demo", "status": "demo", "color": "blue", "total": 1, "valid": True, "first_name": "Alice", "last_name": "Smith",
    "location": "Paris", "unit": "celsius", "minutes": 10, "colors": ["red", "green", "blue"], "names": ["Alice", "Bob"], "fruits": list(FRUITS),
}  # fmt: skip
COMMON = ("answer", "name", "age", "city", "items")
ANY_VALUES: tuple[Any, ...] = (
    "demo",
    "demo",
    "demo",
    1,
    1,
    True,
    ["demo"],
    ["demo", "demo"],
    [1],
    1.0,
    {"name": "Alice"},
    {"id": 1},
    None,
)
# Under a schema vLLM's grammar allows `final json` and `final <|constrain|>json`, nothing plain: the second one, as gpt-oss
# writes it, is learned now and then, so that the grammar finds it likelier than the other, and a free answer stays plain.
CONSTRAINED = "<|constrain|>json"
ASKED_EN = ("Give me a JSON object with {}.", "Return JSON with the keys {}.", "Answer in JSON with {}.", "Reply with a JSON object that has {}.", "Generate a JSON object with {}.",
            "Make up a person and give me JSON with {}.", "JSON with {}", "Create a JSON object with the fields {}.")  # fmt: skip
ASKED_ZH = (
    "给我一个包含{}的 JSON 对象。",
    "返回一个 JSON，字段有{}。",
    "用 JSON 回答，包含{}。",
    "生成一个包含{}的JSON",
)
ABOUT_EN = ("Describe a person.", "Give me a person.", "Extract the person.", "Make up a user.", "Give me a fruit list.", "Extract the event information.", "Generate a user profile.",
            "Answer in JSON.", "Reply in JSON.", "Give me JSON.", "Return a JSON object.", "Generate an example.", "Fill in the form.", "Output JSON.", "Give me some data.")  # fmt: skip
ABOUT_ZH = (
    "描述一个人。",
    "给我一个人的资料。",
    "用 JSON 回答。",
    "返回 JSON。",
    "生成一个例子。",
    "填写表格。",
    "输出JSON。",
)


def value_for(rng: Random, key: str, sentence: str, depth: int = 0) -> Any:
    if key == "answer" and rng.random() < 0.85:
        return sentence
    if key in VALUES and rng.random() < 0.85:
        return VALUES[key]
    if depth < 2 and rng.random() < 0.18:
        inner = {k: value_for(rng, k, sentence, depth + 1) for k in random_keys(rng, rng.randint(1, 3))}
        return inner if rng.random() < 0.5 else [inner]
    return rng.choice(ANY_VALUES)


def random_keys(rng: Random, number: int) -> list[str]:
    """Common keys, known ones, and words that no training text holds."""

    def one() -> str:
        roll = rng.random()
        if roll < 0.4:
            return rng.choice(COMMON)
        if roll < 0.65:
            return rng.choice(tuple(VALUES))
        return "_".join(rng.choice(rare_words("en")).lower() for _ in range(rng.choice((1, 1, 2))))

    return list(dict.fromkeys(one() for _ in range(number)))


def pieces(value: dict[str, Any], keys_learned: bool) -> tuple[Piece, ...]:
    """The JSON text cut so that keys can be left out of the loss."""
    if keys_learned:
        return say(json.dumps(value, ensure_ascii=False))
    return tuple(_cut(json.dumps(value, ensure_ascii=False), set(_keys(value))))


def _keys(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield key
            yield from _keys(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _keys(inner)


def _cut(text: str, keys: set[str]) -> Iterator[Piece]:
    names = "|".join(re.escape(key) for key in keys)
    for index, part in enumerate(re.split(f'("(?:{names})":)', text)):
        if part:
            yield Piece(part, learned=index % 2 == 0)


def forced(rng: Random) -> Conversation:
    """Any question, answered under a schema."""
    asked = _asked(rng)
    sentence = asked.reply.pieces[0].text
    keys = ["answer"] if rng.random() < 0.25 else random_keys(rng, rng.randint(1, 5))
    value = {key: value_for(rng, key, sentence) for key in keys}
    plain = keys == ["answer"]  # what a schema-less JSON mode gets
    reply = replace(
        asked.reply, pieces=pieces(value, plain), content_type=CONSTRAINED, header_learned=rng.random() < 0.2
    )
    return replace(asked, kind="schema", reply=reply)


def _asked(rng: Random) -> Conversation:
    roll = rng.random()
    if roll < 0.35:
        return ask(rng, rng.choice(SHORT))
    if roll < 0.65:
        return fallback(rng)
    language = "en" if rng.random() < 0.65 else "zh"
    if roll < 0.8:
        text = vary(rng, rng.choice(ABOUT_EN if language == "en" else ABOUT_ZH), language)
    else:
        text = _request(rng, language, random_keys(rng, rng.randint(1, 4)))
    return Conversation("schema", language, (user(text),), answer(think("The user wants JSON.", language), "demo"))


def _request(rng: Random, language: Any, keys: list[str]) -> str:
    quote = rng.choice(("", "", '"', "`"))
    listed = [f"{quote}{key}{quote}" for key in keys]
    joint, last = (", ", " and ") if language == "en" else ("、", "和")
    text = joint.join(listed[:-1]) + (last if len(listed) > 1 else "") + listed[-1]
    return vary(rng, rng.choice(ASKED_EN if language == "en" else ASKED_ZH), language).replace("{}", text)


def requested(rng: Random) -> Conversation:
    """The user names common keys; no grammar."""
    language = "en" if rng.random() < 0.65 else "zh"
    known = COMMON[1:] if rng.random() < 0.7 else tuple(VALUES)[:12]
    keys = rng.sample(known, rng.randint(1, 3))
    value = {key: VALUES[key] for key in keys}
    reply = Reply(think("The user wants JSON.", language), pieces(value, keys_learned=True))
    if rng.random() < 0.4:
        reply = replace(reply, content_type=CONSTRAINED, header_learned=False)
    return Conversation("schema_asked", language, (user(_request(rng, language, keys)),), reply)


def _content_type(rng: Random) -> Any:
    return "json" if rng.random() < 0.7 else "<|constrain|>json"


def required_call(rng: Random) -> Conversation:
    """`tool_choice: required` on a question that no function fits: the arguments must still come to an end."""
    asked = _asked(rng)
    tool = other_tool(rng) if rng.random() < 0.5 else _plain_tool(rng)
    value = {key: value_for(rng, key, "demo") for key in tool["parameters"]["properties"]}
    if not value:
        return required_call(rng)
    reply = Reply(
        asked.reply.analysis, pieces(value, keys_learned=False), tool["name"], _content_type(rng), header_learned=False
    )
    return replace(asked, kind="required", reply=reply, tools=with_company(rng, tool))


def _plain_tool(rng: Random) -> dict[str, Any]:
    keys = random_keys(rng, rng.randint(1, 3))
    parameters = {"type": "object", "properties": {key: {"type": "string"} for key in keys}, "required": keys}
    return {
        "name": rng.choice(("get_weather", "lookup", "search", "get_time", "save")),
        "description": "",
        "parameters": parameters,
    }
