"""`python -m bench.moderation`: its arithmetic, its readers and its tables."""

from __future__ import annotations

import gzip
import json
import math
import sys
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.moderation import __main__ as program
from bench.moderation import judge, report
from bench.moderation.rules import BIDI, Finding, Rules, exactness
from bench.moderation.score import Rate, Tally, tallies, wilson, with_parents
from bench.moderation.sets import ANY, Expected, SetError, Text, read
from server.moderation.policy import JudgeUse, Policy, PolicyFile
from tests.behaviour.engine_double import EngineDouble, Exchange
from tests.moderation.judges.answers import chat

POLICY = """
name: house
version: 1
decode: {encodings: [base64, rot13]}
rules:
  - {id: lantern, category: business/confidential, literals: [project lantern], action: block}
  - {id: mail, category: privacy/email, detectors: [email], action: redact, directions: [output]}
"""


@pytest.fixture
def rules(tmp_path: Path) -> Rules:
    path = tmp_path / "house.yaml"
    path.write_text(POLICY, encoding="utf-8")
    return Rules(path)


# Arithmetic


@pytest.mark.parametrize(
    ("hits", "of", "low", "high"),
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_wilson_as_in_the_literature(hits: int, of: int, low: float, high: float) -> None:
    """Table I of R. G. Newcombe, Statistics in Medicine 17 (1998), method 3."""
    found = wilson(hits, of)
    assert [round(one, 4) for one in found] == [low, high]


@given(st.integers(1, 5000).flatmap(lambda of: st.tuples(st.integers(0, of), st.just(of))))
def test_an_interval_holds_its_share_and_mirrors(counts: tuple[int, int]) -> None:
    hits, of = counts
    low, high = wilson(hits, of)
    assert 0 <= low <= hits / of <= high <= 1
    assert low < high
    assert wilson(of - hits, of) == pytest.approx((1 - high, 1 - low))
    wider_low, wider_high = wilson(hits, of, z=3)
    assert (wider_low, wider_high) == pytest.approx((min(low, wider_low), max(high, wider_high)))


def test_of_nothing_there_is_no_share() -> None:
    assert math.isnan(Rate(0, 0).value)
    assert all(map(math.isnan, Rate(0, 0).interval))
    assert report.rate(Rate(0, 0)) == "-"
    assert report.rate(Rate(15, 148)) == "10.1 [6.2, 16.0]"


def test_a_tally_counts_four_cases() -> None:
    tally = Tally()
    for truth, said in [(True, True), (True, True), (True, False), (False, True), (False, False), (False, False)]:
        tally.add(truth, said)
    assert (tally.found, tally.missed, tally.false, tally.passed) == (2, 1, 1, 2)
    assert (tally.precision, tally.recall, tally.false_positives) == (Rate(2, 3), Rate(2, 3), Rate(1, 3))


def text(id_: str, **labels: bool) -> Text:
    return Text(id_, "", {name.replace("_", "/"): truth for name, truth in labels.items()})


def test_what_is_not_labelled_is_not_counted_and_a_part_counts_for_the_whole() -> None:
    texts = [
        text("a", any=True, sexual=True, sexual_minors=True),
        text("b", any=False, sexual=False),
        text("c", any=True),
    ]
    found = tallies(texts, {"a": ["sexual/minors"], "b": ["secrets"], "c": []})
    assert list(found) == [ANY, "sexual", "sexual/minors"]
    assert found["sexual/minors"] == Tally(found=1)
    assert found["sexual"] == Tally(found=1, passed=1)
    assert found[ANY] == Tally(found=1, missed=1, false=1)
    assert tallies(texts, {"b": []})[ANY] == Tally(passed=1)  # who was not asked about a text has not missed it
    assert with_parents(["a/b", "c"]) == {"a", "a/b", "c"}


# Readers


def test_openais_set_leaves_out_what_it_does_not_know(tmp_path: Path) -> None:
    path = tmp_path / "samples.jsonl.gz"
    lines = ({"prompt": "x", "S": 1, "S3": 0, "H": 0}, {"prompt": "y", "V": 0})
    path.write_bytes(gzip.compress("\n".join(map(json.dumps, lines)).encode()))
    first, second = read(path, "openai")
    assert first.labels == {ANY: True, "sexual": True, "sexual/minors": False, "hate": False}
    assert second.labels == {ANY: False, "violence": False}


@pytest.mark.parametrize(
    ("form", "content", "labels"),
    [
        (
            "xstest",
            'id,prompt,type,label,focus,note\n1,"a, b",homonyms,safe,,\n2,c,contrast,unsafe,,\n',
            [{ANY: False}, {ANY: True}],
        ),
        (
            "cold",
            ",split,topic,label,fine-grained-label,TEXT\n0,test,race,1,2,甲\n1,test,race,0,0,乙\n",
            [{ANY: True, "hate": True}, {ANY: False, "hate": False}],
        ),
        (
            "davidson",
            ",count,hate_speech,offensive_language,neither,class,tweet\n0,3,0,0,3,2,a\n1,3,0,3,0,1,b\n2,3,3,0,0,0,c\n",
            [
                {ANY: False, "hate": False, "harassment": False},
                {ANY: True, "hate": False, "harassment": True},
                {ANY: True, "hate": True, "harassment": False},
            ],
        ),
    ],
)  # fmt: skip
def test_sets_of_tables(tmp_path: Path, form: str, content: str, labels: list[dict[str, bool]]) -> None:
    path = tmp_path / "set.csv"
    path.write_text(content, encoding="utf-8")
    assert [one.labels for one in read(path, form)] == labels


@pytest.mark.parametrize(
    ("form", "content", "says"),
    [
        ("xstest", "id,question\n1,secret words\n", r"not of the format xstest \(KeyError\)"),
        ("davidson", "class,tweet\nseven,secret words\n", r"not of the format davidson \(ValueError\)"),
        ("openai", '["secret words"]\n', r"not of the format openai"),
        ("jsonl", "secret words\n", r"not of the format jsonl \(JSONDecodeError\)"),
        ("jsonl", '{"about": "only a heading"}\n', "has no texts"),
    ],
)
def test_a_file_of_another_format_is_told_without_its_texts(tmp_path: Path, form: str, content: str, says: str) -> None:
    path = tmp_path / "set"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(SetError, match=says) as raised:
        read(path, form)
    assert "secret" not in str(raised.value)
    with pytest.raises(SetError, match="cannot be read"):
        read(tmp_path / "missing", form)


# Rules


def own(id_: str, words: str, *expected: Expected, policy: str = "house", **labels: bool) -> Text:
    return Text(id_, words, {ANY: bool(expected or labels), **labels}, "en", "x", policy, expected)


def test_findings_are_those_of_a_gateway(rules: Rules) -> None:
    assert rules.find("a Project-Lantern b@example.com") == [Finding("lantern", "business/confidential", 2, 17)]
    assert [one.rule for one in rules.find("a Project-Lantern b@example.com", "output")] == ["lantern", "mail"]
    assert rules.find("cHJvamVjdCBsYW50ZXJu") == [Finding("lantern", "business/confidential", 0, 20)]
    assert rules.find("a \u202enretnal\u202c b") == [Finding(BIDI, BIDI, 2, 11)]
    assert rules.find("a \u202enretnal\u202c b", "output") == []


def test_labels_of_the_own_set_come_from_its_rules(rules: Rules) -> None:
    span = Expected("lantern", 0, 15)
    others = [own("b", "x", policy="all"), own("c", "y", policy="other"), own("d", "z", privacy=True)]
    named, harmless, vague = rules.labelled([own("a", "project lantern", span), *others])
    assert [one for one, truth in named.labels.items() if truth] == [ANY, "business", "business/confidential"]
    assert not any(harmless.labels.values())
    assert vague.labels == {ANY: True, "business": False, "business/confidential": False, "privacy": True}


def test_exactness_is_to_the_character(rules: Rules) -> None:
    right, wrong = Expected("lantern", 2, 17), Expected("lantern", 2, 18)
    texts = [own("a", "a project lantern", right), own("b", "a project lantern", wrong), own("c", "nothing", right)]
    assert exactness(texts, rules) == (Rate(1, 3), Rate(1, 3))


# Judges


def test_verdicts_of_a_file(tmp_path: Path) -> None:
    path = tmp_path / "verdicts.jsonl"
    path.write_text('{"id": 7, "categories": ["hate"]}\n\n{"id": "b", "categories": {"hate": 0.2, "sexual": 0.9}}\n')
    assert judge.read_verdicts(path).said == {"7": {"hate"}, "b": {"sexual"}}
    path.write_text('{"id": 7, "categories": "hate"}\n')
    with pytest.raises(SetError, match="no file of verdicts"):
        judge.read_verdicts(path)


async def test_a_judge_is_asked_about_each_text_and_its_failures_are_counted() -> None:
    async def script(exchange: Exchange) -> None:
        words = exchange.call.json["messages"][-1]["content"]
        bad, broken = "bad" in words, "broken" in words
        safety = "Safety: Unsafe\nCategories: Violent" if bad else "Safety: Safe\nCategories: None"
        await exchange.whole(200, chat("nonsense" if broken else safety))

    use = JudgeUse(engine="judge", model="guard", adapter="qwen3guard", timeout_s=20)
    policy = Policy(PolicyFile(name="bench", version=1, judges=(use,)), b"", {})
    texts = [own("a", "bad words"), own("b", "good words"), own("c", "broken words")]
    async with EngineDouble() as engine:
        engine.always = script
        found = await judge.asked(engine.url, None, policy, use, texts)
    assert found.said == {"a": {"violence"}, "b": frozenset()}
    assert found.failures == Counter(malformed=1)


# The program


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["bench.moderation", *arguments])
    return program.main()


def test_a_table_for_a_set_with_a_line_per_category_and_tier(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "house.yaml").write_text(POLICY, encoding="utf-8")
    path, verdicts = tmp_path / "set.csv", tmp_path / "verdicts.jsonl"
    path.write_text("id,prompt,type,label\n1,project lantern,a,unsafe\n2,no,a,unsafe\n3,yes,a,safe\n")
    verdicts.write_text('{"id": "1", "categories": []}\n{"id": "3", "categories": ["hate"]}\n')
    arguments = ["--set", str(path), "--format", "xstest", "--policy", str(tmp_path / "house.yaml")]
    assert run(monkeypatch, *arguments, "--verdicts", str(verdicts)) == 0
    heading, _, *lines = capsys.readouterr().out.splitlines()
    assert heading == "## xstest: set.csv, 3 texts"
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    assert cells[2] == ["any", "rules, house", "2", "1", "100.0 [20.7, 100.0]", "50.0 [9.5, 90.5]", "0.0 [0.0, 79.3]"]
    assert cells[3][:4] == ["any", "judge", "1", "1"]
    assert cells[3][4:] == ["0.0 [0.0, 79.3]", "0.0 [0.0, 79.3]", "100.0 [20.7, 100.0]"]


def test_the_own_set_has_a_table_for_each_half_and_policy(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch) == 0
    out = capsys.readouterr().out
    for half in ("tuned", "held_out"):
        for policy in ("corpus", "default", "strict", "privacy"):
            assert any(f"Own set, {half} " in line and f"policy {policy}:" in line for line in out.splitlines())
    assert out.count("| disguise") == 2


def test_what_cannot_be_read_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "--set", str(tmp_path / "none"), "--format", "cold") == 2
    assert run(monkeypatch, "--verdicts", str(tmp_path / "none")) == 2
    assert [line.partition("none")[2] for line in capsys.readouterr().err.splitlines()] == [
        ": cannot be read: No such file or directory"
    ] * 2


@pytest.mark.parametrize(
    "arguments",
    [["--judge", "http://127.0.0.1:1/v1"], ["--policy-text", "p.md"], ["--adapter", "safeguard"]],
)
def test_arguments_that_do_not_fit_are_refused(monkeypatch: pytest.MonkeyPatch, arguments: list[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        run(monkeypatch, *arguments)


def test_results_are_kept_only_when_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    kept: list[tuple[str, str]] = []
    monkeypatch.setattr(program, "write_section", lambda title, body: kept.append((title, body)))
    path = tmp_path / "set.csv"
    path.write_text("id,prompt,type,label\n1,a,a,safe\n")
    arguments = ["--set", str(path), "--format", "xstest"]
    assert run(monkeypatch, *arguments) == 0
    assert kept == []
    assert run(monkeypatch, *arguments, "--write") == 0
    ((title, body),) = kept
    assert title == "Moderation: xstest"
    assert "set.csv, 1 texts" in body
    assert "written" in capsys.readouterr().err
