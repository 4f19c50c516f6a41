"""The promise of moderation on streams, on the whole stage with the matchers of real policies.

For random policies, texts and cuts, with several choices and channels in turns: what leaves on each channel is what the
whole text would have become, so not one character of a match leaves, none of the rest is lost, and the order is kept.
`make test` tries 2,000 cases, `make nightly` 100,000 (PORTICO_EXAMPLES).
"""

from __future__ import annotations

import json
import os
from collections import defaultdict
from math import inf
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from server.answers.edit import PASSING, EditStage
from server.call import Call, Key, Project, ServedModel
from server.config import Model
from server.moderation.build import build_matchers
from server.moderation.edits import Edit, applied, merged
from server.moderation.guard import Guard
from server.moderation.policy import JudgeUse, Policy, PolicyFile
from server.moderation.ruleset import Ruleset
from server.openai.chunks import ENCODER, Choice, Chunk, Delta, FunctionDelta, ToolCallDelta
from server.openai.events import Batch, ChunkEvent, TextEvent, learn
from server.telemetry.local import LocalRegistry
from server.telemetry.series import ModerationSeries

TIMINGS = ModerationSeries(LocalRegistry(CollectorRegistry()))
EXAMPLES = int(os.environ.get("PORTICO_EXAMPLES", "2000"))
WORDS = ("bomb", "lan tern", "灯笼计划", "ab", "abab", "b2b", "stop it", "élan", "x")
REGEXES = (r"a{1,3}b", r"\bk\d{2,4}\b", r"[a-c]{1,4}@[a-c]{1,3}", r"(?:灯|笼){2}", r"b\d?b")
NOISE = (
    *("bo", "m", "b", "a", "ab", " ", "-", "\u200b", ".", "k", "12", "345", "@", "灯", "笼", "计划", "燈", "é"),
    *("e\u0301", "LAN", "tern", "0", "$", "\n", '"', "\\", "😀", "stop", "it", "x", "ｂ"),
)
RULE = st.fixed_dictionaries(
    {
        "what": st.one_of(
            st.lists(st.sampled_from(WORDS), min_size=1, max_size=3, unique=True).map(lambda one: {"literals": one}),
            st.sampled_from(REGEXES).map(lambda one: {"regex": one}),
        ),
        "action": st.sampled_from(("block", "redact", "redact", "flag", "shadow")),
        "words": st.booleans(),
        "channels": st.sets(st.sampled_from(("content", "reasoning", "tool_arguments")), min_size=1),
    }
)
CHANNELS = ("content", "reasoning", "tool_arguments/0", "tool_arguments/1")
TEXT = st.lists(st.sampled_from((*NOISE, *WORDS)), max_size=12).map("".join)
MODEL = ServedModel("m", Model(engines=("e",), context_length=4096), 0)
CALL = Call(
    "req_1", "chat.completions", Key("k", "k", Project("p", "p")), MODEL, None, stream=True, include_usage=False
)


def ruleset(rules: list[dict[str, Any]]) -> Ruleset:
    written = [
        {"id": f"r{at}", "category": "own", "replacement": f'<"{at}">', "action": one["action"], "words": one["words"],
         "channels": sorted(one["channels"]), **one["what"]}
        for at, one in enumerate(rules)
    ]  # fmt: skip
    file = PolicyFile.model_validate({"name": "p", "version": 1, "rules": written})
    return Ruleset(Policy(file, b"", {}), build_matchers, _no_judge)


def _no_judge(policy: Policy, use: JudgeUse) -> Any:
    raise AssertionError("these policies have no judges")


def whole(text: str, of: Ruleset, channel: str) -> tuple[str, bool]:
    """What the whole of a channel becomes, and whether the choice ends there. Arguments are strings of JSON."""
    name = channel.split("/", maxsplit=1)[0]
    screen = of.screens("output").get(name)  # type: ignore[call-overload]
    found = [] if screen is None else screen.scan(text)
    end = min((one.start for one in found if of.rules[one.pattern].action == "block"), default=inf)
    edits = merged(Edit(one.start, one.end, of.rules[one.pattern].replacement, one.pattern) for one in found
                   if of.rules[one.pattern].action == "redact")  # fmt: skip
    if end == inf:
        return applied(text, edits), False
    kept = int(end)
    return applied(text[:kept], [one._replace(end=min(one.end, kept)) for one in edits if one.start < kept]), True


class Wire:
    """Makes events as a reader does: the frames of text are learned, the rest is decoded."""

    def __init__(self) -> None:
        self._templates: dict[tuple[int, str], Any] = {}

    def event(self, index: int, channel: str, raw: str) -> TextEvent | ChunkEvent:
        if channel.startswith("tool"):
            number = int(channel.split("/")[1])
            return _chunk(index, Delta(tool_calls=[ToolCallDelta(number, function=FunctionDelta(arguments=raw))]))
        template = self._templates.get((index, channel))
        if template is not None:
            return TextEvent(template, ENCODER.encode(raw)[1:-1])
        delta = Delta(content=raw) if channel == "content" else Delta(reasoning=raw, reasoning_content=raw)
        event = _chunk(index, delta)
        self._templates[index, channel] = learn(event.wire()[6:-2], event, channel)
        return event


def _chunk(index: int, delta: Delta, finish: str | None = None) -> ChunkEvent:
    return ChunkEvent(Chunk("c", "chat.completion.chunk", 1, "m", [Choice(index, delta, finish_reason=finish)]))


class Client:
    """Puts the pieces together as an SDK does."""

    def __init__(self) -> None:
        self.texts: dict[tuple[int, str], str] = defaultdict(str)
        self.finish: dict[int, str] = {}

    def read(self, batch: Batch) -> None:
        for event in batch:
            for choice in json.loads(event.wire()[6:])["choices"]:
                index, delta = choice["index"], choice["delta"]
                assert index not in self.finish, "nothing comes after the end of a choice"
                self.texts[index, "content"] += delta.get("content") or ""
                self.texts[index, "reasoning"] += delta.get("reasoning") or ""
                for call in delta.get("tool_calls") or ():
                    self.texts[index, f"tool_arguments/{call['index']}"] += call["function"].get("arguments") or ""
                if choice["finish_reason"]:
                    self.finish[index] = choice["finish_reason"]


@settings(max_examples=EXAMPLES, deadline=None)
@given(st.lists(RULE, min_size=1, max_size=4), st.dictionaries(st.tuples(st.integers(0, 1), st.sampled_from(CHANNELS)),
       TEXT, min_size=1, max_size=4), st.randoms(use_true_random=False))  # fmt: skip
def test_not_one_character_leaks_and_none_is_lost(
    rules: list[dict[str, Any]], texts: dict[tuple[int, str], str], random: Any
) -> None:
    of = ruleset(rules)
    guard = Guard(of, CALL, b"secret", lambda decision: None, TIMINGS)
    stage = EditStage(CALL, lambda index, channel: guard.editor(index, channel) or PASSING, 2)
    client, wire = Client(), Wire()
    raws = {
        place: text if place[1] in ("content", "reasoning") else _escaped(text, random) for place, text in texts.items()
    }
    left = {place: raw for place, raw in raws.items() if raw}
    while left and not stage.ended:
        place = random.choice(list(left))
        size = random.choice((1, 1, 2, 3, 7, 40))
        index, channel = place
        client.read(stage.feed([wire.event(index, channel, left[place][:size])]))
        left[place] = left[place][size:]
        left = {one: raw for one, raw in left.items() if raw}
    for index in (0, 1):
        if not stage.ended:
            client.read(stage.feed([_chunk(index, Delta(), "stop")]))
    for index in (0, 1):
        _check(index, of, texts, client)


def _check(index: int, of: Ruleset, texts: dict[tuple[int, str], str], client: Client) -> None:
    mine = {channel: text for (choice, channel), text in texts.items() if choice == index}
    became = {channel: whole(text, of, channel) for channel, text in mine.items()}
    blocked = any(ended for _, ended in became.values())
    assert client.finish[index] == ("content_filter" if blocked else "stop")
    for channel, (expected, _) in became.items():
        got = client.texts[index, channel]
        if channel.startswith("tool"):
            got = _read(got if "tool_arguments" in of.screens("output") else _whole_escapes(got))
        assert expected.startswith(got) if blocked else got == expected, channel


def _read(raw: str) -> str:
    """The text within JSON text; a cut leaves no half of an escape."""
    return json.loads(f'"{raw}"')


def _whole_escapes(raw: str) -> str:
    """Without an escape that was cut in two, where nobody looks, when the choice ended for another channel's sake."""
    for size in range(len(raw), max(-1, len(raw) - 12), -1):
        try:
            json.loads(f'"{raw[:size]}"').encode()
        except ValueError:
            continue
        return raw[:size]
    raise AssertionError("it is no JSON text")


def _escaped(text: str, random: Any) -> str:
    units = [char.encode("utf-16-be") for char in text]
    codes = ["".join(f"\\u{one[at]:02x}{one[at + 1]:02x}" for at in range(0, len(one), 2)) for one in units]
    return "".join(
        code if random.random() < 0.3 else json.dumps(char, ensure_ascii=False)[1:-1]
        for char, code in zip(text, codes, strict=True)
    )
