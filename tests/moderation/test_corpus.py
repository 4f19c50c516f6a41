"""What the rules find in texts of people, and what they leave alone. `python -m bench.moderation` tells the rates.

The targets are for what rules name: whoever says it in other words is not found, and the last tests say how often.
"""

from __future__ import annotations

import base64
import random
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest

from bench.moderation.rules import Finding, Rules, exactness
from bench.moderation.score import Rate
from bench.moderation.sets import ANY, Text, read
from server.moderation.ruleset import CUTS
from tools import make_moderation_corpus as tool

ROOT = Path(__file__).parent.parent.parent
DATA = ROOT / "tests" / "data" / "moderation"
POLICIES = ROOT / "config" / "policies"
HALVES = {half: read(DATA / f"{half}.jsonl", "jsonl") for half in tool.HALVES}
CORPUS = Rules(DATA / "corpus.yaml")
SHIPPED = {name: Rules(POLICIES / f"{name}.yaml") for name in ("default", "strict", "privacy")}
DEFAULT = SHIPPED["default"]

KINDS = {
    "case", "full-width", "mathematical", "circled", "zero-width", "soft-hyphen", "tags", "accents", "stacked-marks",
    "confusables", "look-alikes", "leet", "spacing", "separators", "joined", "mixed", "traditional", "bidi",
    "base64", "hex", "url", "rot13",
}  # fmt: skip
TRAP = "trap"  # harmless, and made to hold what rules look for

each_half = pytest.mark.parametrize("half", tool.HALVES)


def disguised(half: str) -> list[Text]:
    return [one for one in HALVES[half] if one.evasion is not None]


def ordinary(half: str) -> list[Text]:
    """In which no policy may find anything."""
    return [one for one in HALVES[half] if one.policy == "all" and one.kind != TRAP]


def traps() -> list[Text]:
    return [one for one in HALVES["tuned"] if one.kind == TRAP]


def touched(rules: Rules, texts: Sequence[Text]) -> Rate:
    return Rate(sum(bool(rules.find(one.text)) for one in texts), len(texts))


def found_of_category(rules: Rules, texts: Sequence[Text]) -> Rate:
    """Of texts that no rule names: those in which something of their category is found, or of the one around it."""
    hits = 0
    for one in texts:
        wanted = {name.partition("/")[0] for name in one.labels if name != ANY}
        hits += any(finding.category.partition("/")[0] in wanted for finding in rules.find(one.text))
    return Rate(hits, len(texts))


# The corpus


@each_half
def test_the_lines_are_what_the_tool_makes_of_the_texts(half: str) -> None:
    source = (DATA / "source" / f"{half}.txt").read_text(encoding="utf-8")
    made = tool.made(half, source)
    there = (DATA / f"{half}.jsonl").read_text(encoding="utf-8")
    assert there == made, "run: python -m tools.make_moderation_corpus"


def test_the_corpus_is_large_and_of_two_halves() -> None:
    texts = [one for half in HALVES.values() for one in half]
    assert len(texts) >= 600
    assert len({one.id for one in texts}) == len(texts)
    plain = {half: {one.text for one in HALVES[half]} for half in HALVES}
    assert not plain["tuned"] & plain["held_out"]
    assert 0.4 < len(plain["held_out"]) / len(texts) < 0.6


@each_half
def test_each_half_has_every_rule_and_every_disguise_in_both_languages(half: str) -> None:
    texts = HALVES[half]
    assert {span.rule for one in texts for span in one.expected} >= {rule.id for rule in CORPUS.file.rules}
    assert {one.evasion for one in texts} == {None, *KINDS}
    assert all(0 <= span.start < span.end <= len(one.text) for one in texts for span in one.expected)
    languages = Counter((one.language, bool(one.expected), one.evasion is None) for one in texts)
    assert all(languages[language, *rest] >= 20 for language in ("en", "zh") for rest in ((True, True), (True, False)))
    assert min(languages["en", False, True], languages["zh", False, True]) >= 30


# The targets. Measured: 305 of 305 and 298 of 298 spans in disguise, 0 of 146 and 0 of 101 ordinary texts touched


@each_half
def test_what_is_named_is_found_to_the_character_in_whatever_disguise(half: str) -> None:
    assert exactness(disguised(half), CORPUS).exact.value >= 0.98


@each_half
def test_what_is_named_is_found_to_the_character_as_it_is(half: str) -> None:
    plain = [one for one in HALVES[half] if one.policy == "corpus" and one.evasion is None and one.expected]
    exact, extra = exactness(plain, CORPUS)
    assert exact.value == 1
    assert extra.value <= 0.01  # one: the inner digits of an IBAN in groups, 0044 ..., are taken for a phone number too


@each_half
@pytest.mark.parametrize("rules", [CORPUS, *SHIPPED.values()], ids=lambda one: one.file.name)
def test_ordinary_texts_are_left_alone(rules: Rules, half: str) -> None:
    assert touched(rules, ordinary(half)).value <= 0.01


def test_a_stream_finds_the_same_however_it_is_cut() -> None:
    for one in HALVES["tuned"]:
        screen = DEFAULT.screen("output")
        stream = screen.stream()
        found = [match for char in one.text for match in stream.feed(char)] + stream.finish()
        assert sorted(found) == screen.scan(one.text), one.id


# The shipped policies


def test_all_that_ships_is_measured_here() -> None:
    assert {path.stem for path in POLICIES.glob("*.yaml")} == {"none", *SHIPPED}
    for name, rules in SHIPPED.items():
        assert rules.file.name == name
        assert all(set(rules.file.message) >= {"en", "zh"} for rules in SHIPPED.values())


@pytest.mark.parametrize("name", ["default", "strict"])
def test_word_lists_are_in_both_languages(name: str) -> None:
    rules = SHIPPED[name]
    lists = {one.id: rules.literals(one.id) for one in rules.file.rules if one.literals or one.literals_file}
    assert lists
    for id_, words in lists.items():
        chinese = sum(any("\u4e00" <= char <= "\u9fff" for char in word) for word in words)
        assert 0 < chinese < len(words), id_


def test_ordinary_prose_passes_default_untouched_both_ways() -> None:
    texts = [one.text for half in HALVES for one in ordinary(half)]
    assert len(texts) >= 200
    assert sum(one.kind == "prose" for half in HALVES for one in ordinary(half)) >= 100
    assert [text for text in texts if DEFAULT.find(text) or DEFAULT.find(text, "output")] == []


def test_default_blocks_nothing_that_only_looks_harmful() -> None:
    acted = [found.rule for one in traps() for found in DEFAULT.find(one.text) if DEFAULT.action(found.rule) in CUTS]
    assert len(traps()) >= 40
    assert acted == []
    assert touched(DEFAULT, traps()).value <= 0.1  # flagged: three who quote an injection, one key out of a manual


def test_default_flags_secrets_that_come_and_removes_those_that_leave() -> None:
    texts = [one for half in HALVES.values() for one in half if one.policy == "default" and one.expected]
    assert len(texts) >= 8
    for one in texts:
        assert {DEFAULT.action(found.rule) for found in DEFAULT.find(one.text)} == {"flag"}
        there = [(found.start, found.end) for found in DEFAULT.find(one.text, "output")]
        assert there == [(span.start, span.end) for span in one.expected]
        assert {DEFAULT.action(found.rule) for found in DEFAULT.find(one.text, "output")} == {"redact"}


@pytest.mark.parametrize(("size", "width"), [(48, 64), (260, 70), (1_190, 64), (2_350, 64), (2_490, 70)])
def test_nothing_of_a_private_key_leaves(size: int, width: int) -> None:
    """From Ed25519 to RSA with 4,096 bits, in lines as OpenSSL and as OpenSSH write them."""
    body = base64.b64encode(random.Random(size).randbytes(size)).decode()
    lines = "\n".join(body[at : at + width] for at in range(0, len(body), width))
    key = f"-----BEGIN PRIVATE KEY-----\n{lines}\n-----END PRIVATE KEY-----"
    text = f"Here it is:\n{key}\nKeep it."
    assert without(text, DEFAULT.find(text, "output")) == "Here it is:\n\nKeep it."
    assert {found.rule for found in DEFAULT.find(text)} == {"private-key-in"}  # by both its ends


def without(text: str, found: Sequence[Finding]) -> str:
    covered = {at for one in found for at in range(one.start, one.end)}
    return "".join(char for at, char in enumerate(text) if at not in covered)


@pytest.mark.parametrize("direction", ["input", "output"])
def test_privacy_replaces_personal_data_both_ways(direction: str) -> None:
    rules = SHIPPED["privacy"]
    texts = [one for half in HALVES.values() for one in half if one.policy == "privacy"]
    assert len(texts) >= 12
    for one in texts:
        found = rules.find(one.text, "input" if direction == "input" else "output")
        assert [(each.rule, each.start, each.end) for each in found] == [tuple(span) for span in one.expected], one.id
        assert {rules.action(each.rule) for each in found} == {"redact"}


# What no rule names. Lower bounds: a list that loses words is seen; what the figures mean is told with their intervals.


@pytest.mark.parametrize(
    ("name", "half", "least"),
    [
        ("default", "tuned", 0.85),  # measured: 21 of 23, after the lists had been written with these texts at hand
        ("default", "held_out", 0.25),  # measured: 6 of 20
        ("strict", "tuned", 0.85),  # measured: 18 of 19
        ("strict", "held_out", 0.2),  # measured: 5 of 18
    ],
)
def test_other_words_are_found_now_and_then(name: str, half: str, least: float) -> None:
    texts = [one for one in HALVES[half] if one.policy == name and one.kind == "paraphrase"]
    assert found_of_category(SHIPPED[name], texts).value >= least
