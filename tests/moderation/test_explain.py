"""What a policy makes of a text, and how that is described."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.moderation.build import build_matchers
from server.moderation.described import MOST_DESCRIBED, described, literals_of, normalised
from server.moderation.explain import Because, Explanation, explain, explaining, whole
from server.moderation.files import load_policy
from server.moderation.input import STEP
from server.moderation.policy import Channel, Direction
from server.moderation.ruleset import BIDI_MESSAGE, Ruleset
from server.moderation.seats import unasked

POLICY = """
name: house
version: 7
message: {en: "Not here.", zh: "不可以。"}
rules:
  - {id: codename, category: business/confidential, literals: [project lantern, 灯笼计划, mp3, bitch], action: block}
  - {id: mail, category: privacy, regex: '[a-z]{1,20}@[a-z]{1,20}\\.com', action: redact, replacement: '"mail"'}
  - {id: mood, category: harassment, literals: [grumble], action: flag}
  - {id: trial, category: own, literals: [banana], action: shadow}
  - {id: asked, category: own, literals: [question], action: block, directions: [input]}
  - {id: thought, category: own, literals: [hunch], action: redact, channels: [reasoning]}
judges:
  - {engine: lab, adapter: qwen3guard, directions: [output]}
"""


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Ruleset:
    path = tmp_path_factory.mktemp("policies") / "house.yaml"
    return made(path, POLICY)


def made(path: Path, text: str) -> Ruleset:
    path.write_text(text, encoding="utf-8")
    return Ruleset(load_policy(path), build_matchers, unasked)


def found(explanation: Explanation) -> list[tuple[str, int, int]]:
    return [(one.rule, one.start, one.end) for one in explanation.matches]


def facts(house: Ruleset, text: str, direction: Direction = "input", channel: Channel = "content") -> dict[str, Any]:
    return described(explain(house, text, direction, channel), house)


@pytest.mark.parametrize(
    ("text", "verdict", "leaves"),
    [
        ("hello", "pass", "hello"),
        ("", "pass", ""),
        ("a banana", "shadow", "a banana"),
        ("grumble banana", "flag", "grumble banana"),
        ("grumble to bob@corp.com", "redact", 'grumble to "mail"'),
        ("bob@corp.com on project lantern", "block", None),
        ("a hunch", "pass", "a hunch"),
    ],
)
def test_requests(house: Ruleset, text: str, verdict: str, leaves: str | None) -> None:
    one = explain(house, text, "input", "content")
    assert (one.verdict, one.leaves) == (verdict, None if leaves is None else (leaves,))
    assert one.message == ("Not here." if verdict == "block" else None)
    assert (one.policy, one.version, one.hash) == ("house", 7, house.policy.hash)
    assert one.not_asked == ()


@pytest.mark.parametrize(
    ("text", "verdict", "leaves"),
    [
        ("bob@corp.com on project lantern, and bob@corp.com", "block", '"mail" on '),
        ("project lantern", "block", ""),
        ("a question of grumble", "flag", "a question of grumble"),
        ("\u202ehello", "pass", "\u202ehello"),
    ],
)
def test_answers(house: Ruleset, text: str, verdict: str, leaves: str) -> None:
    one = explain(house, text, "output", "content")
    assert (one.verdict, one.leaves, one.message, one.not_asked) == (verdict, (leaves,), None, ("lab",))


def test_all_matches_of_an_answer_are_told_though_it_ends_before(house: Ruleset) -> None:
    assert found(explain(house, "project lantern, grumble", "output", "content")) == [
        ("codename", 0, 15),
        ("mood", 17, 24),
    ]


def test_channels(house: Ruleset) -> None:
    assert explain(house, "a hunch", "output", "reasoning").leaves == ("a [removed]",)
    for direction in get_args(Direction):
        one = explain(house, r'{"to": "bob\u0040corp.com"}', direction, "tool_arguments")
        assert (found(one), one.leaves) == ([("mail", 8, 25)], (r'{"to": "\"mail\""}',))


def test_text_that_reads_backwards(house: Ruleset, tmp_path: Path) -> None:
    text = "a" * (STEP + 5) + "\u202eretnal\u202c"
    one = explain(house, text, "input", "content")
    assert found(one) == [("bidi_overrides", STEP + 5, STEP + 6)]
    assert (one.verdict, one.leaves, one.message) == ("block", None, BIDI_MESSAGE)
    allowing = made(tmp_path / "p.yaml", "name: p\nversion: 1\nbidi_overrides: allow\n")
    assert explain(allowing, text, "input", "content").verdict == "pass"


def test_parts_that_belong_together(house: Ruleset) -> None:
    one = whole(explaining(house, ("a project ", "lantern, bob@corp.com"), "input", "content"))
    assert [(match.rule, match.part, match.text) for match in one.matches] == [
        ("codename", 0, "project "),
        ("codename", 1, "lantern"),
        ("mail", 1, "bob@corp.com"),
    ]
    assert one.verdict == "block"


def test_long_texts_come_in_steps(house: Ruleset) -> None:
    text = "all is well. " * 10_000 + "bob@corp.com"
    for direction in get_args(Direction):
        steps = explaining(house, (text,), direction, "content")
        assert sum(1 for _ in steps) >= len(text) // STEP
        one = explain(house, text, direction, "content")
        assert one.leaves == (text.replace("bob@corp.com", '"mail"'),)


WORDS = ("project ", "lantern", " ", "bob@corp.com", "grumble", "banana", "x", "灯笼", "计划", "\u202e", ",")
PIECES = st.lists(st.sampled_from(WORDS))


def cut_out(text: str, explanation: Explanation) -> str:
    """What leaves by the matches alone: nothing from the first that blocks on, replacements for what is redacted."""
    cut = min([one.start for one in explanation.matches if one.action == "block"], default=len(text))
    redacted = [one for one in explanation.matches if one.action == "redact"]
    out: list[str] = []
    for at in range(cut):
        over = [one for one in redacted if one.start <= at < one.end]
        out.append(text[at] if not over else '"mail"' if all(one.start == at for one in over) else "")
    return "".join(out)


@given(PIECES, st.sampled_from(get_args(Direction)))
def test_what_leaves_is_what_the_matches_say(house: Ruleset, pieces: list[str], direction: Direction) -> None:
    text = "".join(pieces)
    one = explain(house, text, direction, "content")
    assert all(match.text == text[match.start : match.end] for match in one.matches)
    actions = {match.action for match in one.matches}
    assert one.verdict == next((name for name in ("block", "redact", "flag", "shadow") if name in actions), "pass")
    refused = direction == "input" and one.verdict == "block"
    assert one.leaves == (None if refused else (cut_out(text, one),))


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Project Lantern", None),
        ("pr0ject-lantern", "project lantern"),
        ("ｐｒｏｊｅｃｔ　ｌａｎｔｅｒｎ", "project lantern"),
        ("project lan\u200btern", "project lantern"),
        ("MP3", None),
        ("BlTCH", "bitch"),
        ("燈籠計劃", "灯笼计划"),
        ("bob@corp.com", None),
    ],
)
def test_the_normal_form_where_it_says_something(house: Ruleset, text: str, shown: str | None) -> None:
    (match,) = facts(house, f"so {text} it is")["matches"]
    assert (match["text"], match["normalised"]) == (text, shown)


def test_the_normal_form_within_json(house: Ruleset) -> None:
    (match,) = facts(house, r'{"a": "project \u006cantern"}', channel="tool_arguments")["matches"]
    assert match["normalised"] == "project lantern"


def test_no_normal_form_of_what_is_encoded(tmp_path: Path) -> None:
    """The letters of base64 spell nothing."""
    head = "name: p\nversion: 1\ndecode: {encodings: [base64]}\n"
    one = made(tmp_path / "p.yaml", f"{head}rules: [{{id: r, category: own, literals: [lantern], action: flag}}]\n")
    plain, encoded = (Because(0, "r", "own", "flag", "rules", 0, 1, text) for text in ("L4ntern", "bGFudGVybg=="))
    literals = literals_of(one, explain(one, "lantern", "input", "content"))
    assert normalised(plain, False, literals, decoded=True) == "lantern"
    assert normalised(encoded, False, literals, decoded=True) is None


def test_facts(house: Ruleset) -> None:
    told = facts(house, "project lantern")
    assert told == {
        "policy": "house",
        "version": 7,
        "hash": house.policy.hash,
        "direction": "input",
        "channel": "content",
        "verdict": "block",
        "matches": [
            {
                "rule": "codename",
                "category": "business/confidential",
                "action": "block",
                "tier": "rules",
                "start": 0,
                "end": 15,
                "text": "project lantern",
                "normalised": None,
            }
        ],
        "more_matches": 0,
        "leaves": None,
        "message": "Not here.",
        "not_asked": [],
    }
    many = facts(house, "grumble " * (MOST_DESCRIBED + 7))
    assert (len(many["matches"]), many["more_matches"]) == (MOST_DESCRIBED, 7)
