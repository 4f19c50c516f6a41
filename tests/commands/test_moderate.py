"""`portico moderate`: what policies make of a text, and what a new version would change."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.commands import shell

HOUSE = """
name: house
version: 7
message: {en: "Not here.", zh: "不可以。"}
rules:
  - {id: codename, category: business/confidential, literals: [project lantern, bomb], action: block}
  - {id: mail, category: privacy, detectors: [email], action: redact, replacement: '"mail"'}
  - {id: mood, category: own, literals: [grumble], action: flag}
"""


class Shell(shell.Shell):
    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str], patch: pytest.MonkeyPatch) -> None:
        super().__init__(capsys, patch, "moderate")
        self.folder = folder

    def write(self, name: str, text: str | bytes) -> str:
        path = self.folder / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return str(path)


@pytest.fixture
def moderate(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Shell:
    monkeypatch.setenv("PORTICO_HOME", str(tmp_path))
    monkeypatch.delenv("PORTICO_CONFIG", raising=False)
    shell = Shell(tmp_path, capsys, monkeypatch)
    shell.write("house.yaml", HOUSE)
    return shell


@pytest.fixture
def house(moderate: Shell) -> str:
    return str(moderate.folder / "house.yaml")


def test_for_people(moderate: Shell, house: str) -> None:
    text = "Mail bob@corp.com, grumble, about the pr0ject-lantern today or tomorrow"
    assert moderate(text, "--policy", house).splitlines() == [
        "house-7: block (input, content)",
        "  5-17  redact  mail (privacy, rules)",
        "      Mail »bob@corp.com«, grumble, about the pr0...",
        "  19-26  flag  mood (own, rules)",
        "      Mail bob@corp.com, »grumble«, about the pr0ject-lant...",
        "  38-53  block  codename (business/confidential, rules)",
        "      ...com, grumble, about the »pr0ject-lantern« today or tomorrow",
        "      normalised: project lantern",
        "  refused: Not here.",
    ]
    assert moderate("to bob@corp.com", "--policy", house).splitlines()[-1] == '  leaves: to "mail"'
    assert moderate("hello", "--policy", house).splitlines() == [
        "house-7: pass (input, content)",
        "  leaves as it came",
    ]


def test_an_answer(moderate: Shell, house: str) -> None:
    told = moderate("It is the bomb.", "--policy", house, "--direction", "output", "--channel", "reasoning")
    assert told.splitlines()[0] == "house-7: block (output, reasoning)"
    assert told.splitlines()[-2:] == ["  leaves: It is the ", "  the answer ends there: finish_reason content_filter"]


def test_nothing_that_a_terminal_would_obey(moderate: Shell, house: str) -> None:
    told = moderate("\x1b[2J\u202e b\u200bomb\x07\udc80\n", "--policy", house)
    assert "»b\\u200bomb«" in told
    assert all(char.isprintable() or char == "\n" for char in told)


def test_for_programs(moderate: Shell, house: str) -> None:
    (told,) = moderate.json("a b0mb for bob@corp.com", "--policy", house)["explanations"]
    assert (told["policy"], told["version"], told["verdict"], told["message"]) == ("house", 7, "block", "Not here.")
    assert [(one["rule"], one["start"], one["end"], one["normalised"]) for one in told["matches"]] == [
        ("codename", 2, 6, "bomb"),
        ("mail", 11, 23, None),
    ]


def test_standard_input(moderate: Shell, house: str) -> None:
    told = moderate("-", "--policy", house, "--json", given="燈 bob@corp.com\n".encode())
    assert json.loads(told)["explanations"][0]["leaves"] == '燈 "mail"'
    assert "standard input is not UTF-8" in moderate.fails("-", "--policy", house, given=b"\xff")


def test_policies_by_name(moderate: Shell, house: str, monkeypatch: pytest.MonkeyPatch) -> None:
    line = moderate.fails("hello")
    assert "moderation.policy is not set" in line and "'none'" in line
    assert moderate("bomb", "--policy", "none").startswith("none-1: pass")
    assert "no policy is called 'other'" in moderate.fails("hello", "--policy", "other")
    monkeypatch.setenv("PORTICO__MODERATION__FOLDER", str(moderate.folder))
    both = moderate.json("bomb", "--policy", "house", "--policy", "none")["explanations"]
    assert [(one["policy"], one["verdict"]) for one in both] == [("house", "block"), ("none", "pass")]
    monkeypatch.setenv("PORTICO__MODERATION__POLICY", house)
    assert moderate("bomb").startswith("house-7: block")


def test_a_policy_that_does_not_load(moderate: Shell) -> None:
    assert "broken.yaml: version: " in moderate.fails("x", "--policy", moderate.write("broken.yaml", "name: b\n"))
    assert "gone.yaml: cannot be read" in moderate.fails("x", "--policy", "./gone.yaml")


@pytest.mark.parametrize(
    "words",
    [
        (),
        ("x", "--file", "texts"),
        ("--diff", "a.yaml", "b.yaml"),
        ("x", "--diff", "a.yaml", "b.yaml", "--file", "texts"),
        ("--diff", "a.yaml", "b.yaml", "--file", "texts", "--policy", "c.yaml"),
        ("x", "--direction", "sideways"),
        ("x", "--channel", "telepathy"),
    ],
)
def test_wrong_use(moderate: Shell, words: tuple[str, ...]) -> None:
    assert moderate(*words, status=2) == ""
    assert "usage: portico moderate" in moderate.err


def changed(text: str, *changes: tuple[str, str]) -> str:
    for old, new in (("version: 7", "version: 8"), *changes):
        assert old in text
        text = text.replace(old, new)
    return text


def test_what_a_new_version_changes(moderate: Shell, house: str) -> None:
    new = moderate.write("new.yaml", changed(HOUSE, (", bomb", ""), ("[grumble]", "[grumble, mutter]")))
    texts = moderate.write("texts.txt", "hello\nthe bomb\n\nbomb for bob@corp.com\r\ngrumble, mutter\nbob@corp.com\n")
    assert moderate("--diff", house, new, "--file", texts, status=1).splitlines() == [
        "line 2: block -> pass",
        "    the bomb",
        "    - 4-8  block  codename (business/confidential, rules)",
        "line 4: block -> redact",
        "    bomb for bob@corp.com",
        "    - 0-4  block  codename (business/confidential, rules)",
        "line 5: flag, other spans",
        "    grumble, mutter",
        "    + 9-15  flag  mood (own, rules)",
        "3 of 5 texts change: 1 block -> pass, 1 block -> redact, 1 flag, other spans.",
    ]
    told = moderate.json("--diff", house, new, "--file", texts, status=1)
    assert (told["texts"], told["changed"], [one["line"] for one in told["changes"]]) == (5, 3, [2, 4, 5])
    assert told["changes"][1]["new"] == {
        "verdict": "redact",
        "matches": [
            {"rule": "mail", "category": "privacy", "action": "redact", "tier": "rules", "start": 9, "end": 21}
        ],
    }


def test_nothing_changes(moderate: Shell, house: str) -> None:
    new = moderate.write("new.yaml", changed(HOUSE, ("id: mood", "id: temper")))
    texts = moderate.write("texts.jsonl", '{"text": "two\\nlines, bomb", "label": 1}\n{"text": "grumble"}\n')
    assert moderate("--diff", house, new, "--file", texts) == "0 of 2 texts change."
    assert moderate.json("--diff", house, new, "--file", texts)["changes"] == []


def test_the_direction_counts(moderate: Shell, house: str) -> None:
    new = moderate.write("new.yaml", changed(HOUSE, ("action: flag", "action: flag, directions: [input]")))
    texts = moderate.write("texts.txt", "grumble")
    moderate("--diff", house, new, "--file", texts)
    assert "flag -> pass" in moderate("--diff", house, new, "--file", texts, "--direction", "output", status=1)


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("texts.jsonl", b'{"text": "x"}\n{"txt": "secret"}\n', "texts.jsonl, line 2: is no JSON object"),
        ("texts.jsonl", b"secret\n", "texts.jsonl, line 1: is no JSON object"),
        ("texts.txt", b"\xff", "texts.txt: is not UTF-8 text"),
    ],
)
def test_texts_that_cannot_be_read(moderate: Shell, house: str, name: str, content: bytes, told: str) -> None:
    line = moderate.fails("--diff", house, house, "--file", moderate.write(name, content))
    assert told in line and "secret" not in line
    assert "gone: cannot be read" in moderate.fails("--diff", house, house, "--file", str(moderate.folder / "gone"))
