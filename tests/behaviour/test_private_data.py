"""A judge that marks private data, and a policy that has it replaced: in requests and in answers."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from server.moderation.judges.o200k import o200k
from server.moderation.judges.privacy_filter import LABELS, TAGS
from tests.behaviour.engine_double import EngineDouble, Exchange, answer
from tests.behaviour.serving import MODEL, Gate, eventually, portico
from tests.behaviour.vllm import Reply

POLICY = """
name: private
version: 1
message: {en: "Not here."}
judges: [{engine: two, adapter: privacy_filter, model: pf, action: redact, replacement: "<gone>", SETTINGS}]
stream: {mode: chunked, window_chars: 50, overlap_chars: 10}
"""
PERSON, MAIL = LABELS.index("private_person"), LABELS.index("private_email")
MARKED = ((re.compile("Ana Diaz"), PERSON), (re.compile(r"[a-z]+@[a-z]+\.com"), MAIL))
TOKENS = o200k()


async def marking(exchange: Exchange) -> None:
    """As the model would answer: the scores of each token."""
    numbers = exchange.call.json["input"]
    text, places = "", []
    for number in numbers:
        piece = WORDS[number]
        places.append((len(text), len(text) + len(piece)))
        text += piece
    tags = ["O"] * len(places)
    for expression, label in MARKED:
        for found in expression.finditer(text):
            inside = [at for at, (start, end) in enumerate(places) if start < found.end() and end > found.start()]
            kinds = ["S"] if len(inside) == 1 else ["B", *"I" * (len(inside) - 2), "E"]
            for at, kind in zip(inside, kinds, strict=True):
                tags[at] = f"{kind}-{LABELS[label]}"
    rows = [[0.9 if name == tag else 0.1 / (len(TAGS) - 1) for name in TAGS] for tag in tags]
    await exchange.whole(200, json.dumps({"data": [{"index": 0, "data": rows}]}).encode())


class _Words(dict[int, str]):
    def learn(self, text: str) -> None:
        for token in TOKENS(text):
            self[token.id] = token.text.decode()


WORDS = _Words()


@asynccontextmanager
async def private(folder: Path, settings: str) -> AsyncIterator[tuple[Gate, EngineDouble, EngineDouble]]:
    path = folder / "private.yaml"
    path.write_text(POLICY.replace("SETTINGS", settings))
    async with EngineDouble() as engine, EngineDouble() as judge:
        judge.always = marking
        models = {MODEL: {"engines": ["one"], "context_length": 4096}}
        async with portico(engine, judge, models=models, moderation={"policy": str(path)}) as gate:
            yield gate, engine, judge


def said(*contents: str) -> list[dict[str, str]]:
    WORDS.learn("\n\n".join(contents))
    return [{"role": "user", "content": one} for one in contents]


async def test_private_data_never_reaches_the_engine(tmp_path: Path) -> None:
    async with private(tmp_path, "directions: [input]") as (gate, engine, judge):
        messages = said("I am Ana Diaz.", "Write to ana@x.com and bob@y.com, please")
        assert (await gate.chat(messages=messages)).status == 200
        assert judge.calls[0].path == "/pooling"
        sent = [one["content"] for one in engine.calls[0].json["messages"]]
        assert sent == ["I am <gone>.", "Write to <gone> and <gone>, please"]
        lines = [json.loads(line) for line in gate.log_text().splitlines()]
        (line,) = [line for line in lines if line["msg"] == "moderation"]
        assert {one["action"] for one in line["matches"]} == {"redact"}
        assert [(one["category"], one["where"], one["start"], one["end"]) for one in line["matches"]] == [
            ("privacy/person", "messages[0].content", 5, 13),
            ("privacy/email", "messages[1].content", 9, 18),
            ("privacy/email", "messages[1].content", 23, 32),
        ]
        assert "Ana" not in gate.log_text()


async def test_only_the_categories_of_the_policy(tmp_path: Path) -> None:
    async with private(tmp_path, "directions: [input], categories: [privacy/email]") as (gate, engine, _):
        await gate.chat(messages=said("Ana Diaz is ana@x.com"))
        assert engine.calls[0].json["messages"][0]["content"] == "Ana Diaz is <gone>"


async def test_what_cannot_be_replaced_is_refused(tmp_path: Path) -> None:
    async with private(tmp_path, "directions: [input]") as (gate, engine, _):
        WORDS.learn("Hello\n\nAna Diaz")
        reply = await gate.chat(messages=[{"role": "user", "content": "Hello"}], stop=["Ana Diaz"])
        assert (reply.status, reply.json["error"]["code"]) == (400, "content_filter")
        assert not engine.calls


@pytest.mark.parametrize("stream", [True, False])
async def test_an_answer_is_held_and_cut_exactly(tmp_path: Path, stream: bool) -> None:
    async with private(tmp_path, "directions: [output]") as (gate, engine, judge):
        content = ["It was An", "a Di", "az", ", and ana@", "x.com", " too."]
        arguments = json.dumps({"to": "ana@x.com", "n": 1})
        WORDS.learn("\n\n".join(["So Ana Diaz.", "".join(content), "mail", arguments]))
        engine.always = answer(Reply(content, reasoning=["So Ana", " Diaz."], tool_calls=(("mail", arguments),)))
        reply = await gate.chat(stream=stream, tools=[{"type": "function", "function": {"name": "mail"}}])
        assert reply.text() == "It was <gone>, and <gone> too."
        assert reply.text("reasoning") == "So <gone>."
        assert json.loads(_arguments(reply, stream)) == {"to": "<gone>", "n": 1}
        assert reply.finish() == "tool_calls"
        assert len(judge.calls) == 1, "whole, whatever the mode of streams"


def _arguments(reply: Any, stream: bool) -> str:
    if not stream:
        return reply.json["choices"][0]["message"]["tool_calls"][0]["function"]["arguments"]
    deltas = [choice["delta"] for event in reply.events for choice in event["choices"]]
    return "".join(call["function"].get("arguments") or "" for one in deltas for call in one.get("tool_calls") or ())


async def test_without_a_mark_it_leaves_as_it_came(tmp_path: Path) -> None:
    async with private(tmp_path, "directions: [output]") as (gate, engine, _):
        WORDS.learn("Nothing to see.")
        engine.always = answer(Reply(["Nothing ", "to see."]))
        assert (await gate.chat(stream=True)).text() == "Nothing to see."
        await eventually(lambda: not gate.parts.gateway.trips)
        assert gate.total("portico_moderation_decisions_total") == 0
