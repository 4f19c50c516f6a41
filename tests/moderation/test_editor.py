"""What leaves an editor is, for any split, what the whole text would have become."""

from __future__ import annotations

import json
from math import inf

from hypothesis import given
from hypothesis import strategies as st

from server.moderation.editor import RuleEditor
from server.moderation.edits import Edit, applied, extended, merged
from server.moderation.matches import Found
from server.moderation.policy import Action, Rule
from server.moderation.screen import Part, Screen
from server.moderation.unescape import UnescapedStream
from tests.answers.test_stop import cut
from tests.moderation.brute import BruteMatcher

ACTIONS: tuple[Action, ...] = ("block", "redact", "flag", "shadow")
PATTERNS = st.lists(st.text("abc", min_size=1, max_size=5), min_size=1, max_size=5, unique=True)
TEXTS = st.text("abcd\u0301", max_size=40)
CUTS = st.lists(st.integers(0, 60), max_size=15)


def rules(actions: list[Action]) -> list[Rule]:
    return [
        Rule(id=f"r{at}", category="own", literals=("x",), action=action, replacement=f"<{at}>")
        for at, action in enumerate(actions)
    ]


def whole(text: str, screen: Screen, of: list[Rule]) -> tuple[str, bool]:
    """By the definition in editor.py."""
    found = screen.scan(text)
    end = min((one.start for one in found if of[one.pattern].action == "block"), default=inf)
    edits = merged(extended((Edit(one.start, one.end, of[one.pattern].replacement, one.pattern) for one in found
                             if of[one.pattern].action == "redact"), text))  # fmt: skip
    if end is inf:
        return applied(text, edits), False
    kept = int(end)
    before = [one._replace(end=min(one.end, kept)) for one in edits if one.start < kept]
    return applied(text[:kept], before), True


def run(pieces: list[str], screen: Screen, of: list[Rule]) -> tuple[str, bool, list[Found]]:
    noted: list[Found] = []
    editor = RuleEditor(screen.stream(), of, noted.append)
    out = ""
    for piece in pieces:
        if not editor.ended:
            out += editor.feed(piece)
    if not editor.ended:
        out += editor.finish()
    return out, editor.ended, sorted(noted)


@given(TEXTS, PATTERNS, st.data(), CUTS)
def test_any_split(text: str, patterns: list[str], data: st.DataObject, cuts: list[int]) -> None:
    of = rules(data.draw(st.lists(st.sampled_from(ACTIONS), min_size=len(patterns), max_size=len(patterns))))
    screen = Screen([Part(BruteMatcher(patterns), range(len(patterns)))])
    out, ended, noted = run(cut(text, cuts), screen, of)
    assert (out, ended) == whole(text, screen, of)
    if not ended:
        assert noted == screen.scan(text)


@given(TEXTS, PATTERNS)
def test_no_more_is_held_than_could_become_a_match(text: str, patterns: list[str]) -> None:
    of = rules(["block"] * len(patterns))
    editor = RuleEditor(Screen([Part(BruteMatcher(patterns), range(len(patterns)))]).stream(), of, lambda _: None)
    out = editor.feed(text)
    held = text[len(out) :]
    assert editor.ended or not held or any(one.startswith(held) for one in patterns)


def test_marks_go_with_what_they_stand_on() -> None:
    """Else they would stand on what replaces it. They may come late, and in JSON as escapes."""
    of = rules(["redact"])
    screen = Screen([Part(BruteMatcher(["ab"]), [0])])
    for text, expected in (
        ("xab\u0301\u0308y", "x<0>y"),
        ("xab", "x<0>"),
        ("ab\u0301ab", "<0><0>"),
        ("a\u0301b", "a\u0301b"),
    ):
        for pieces in ([text], list(text)):
            assert run(pieces, screen, of)[0] == expected
    for raw, expected in (
        (r"ab\u0301y", "<0>y"),
        (r"ab\u0041", r"<0>\u0041"),
        (r"ab\u03", r"<0>\u03"),
        (r"ab\n", r"<0>\n"),
    ):
        for pieces in ([raw], list(raw)):
            editor = RuleEditor(UnescapedStream(screen.stream()), of, lambda _: None, in_json=True)
            assert "".join([*map(editor.feed, pieces), editor.finish()]) == expected


def test_overlapping_redactions_become_one() -> None:
    edits = [Edit(4, 9, "b"), Edit(0, 5, "a"), Edit(0, 3, "c"), Edit(9, 10, "d")]
    assert merged(edits) == [Edit(0, 9, "a"), Edit(9, 10, "d")]
    assert applied("0123456789x", merged(edits)) == "adx"


def test_two_patterns_of_a_rule_are_one_match() -> None:
    screen = Screen([Part(BruteMatcher(["ab"]), [3]), Part(BruteMatcher(["ab", "b"]), [3, 3])])
    assert screen.scan("ab") == [Found(0, 2, 3), Found(1, 2, 3)]
    stream = screen.stream()
    assert stream.feed("ab") + stream.finish() == [Found(0, 2, 3), Found(1, 2, 3)]


# Within JSON

PIECES = st.lists(st.sampled_from(["a", "b", "c", "d", '"', "\\", "/", "\n", "é", "灯", "😀", "u0061"]), max_size=15)


def escaped(text: str, data: st.DataObject) -> str:
    """As one of the ways to write it in JSON."""
    out = ""
    for char in text:
        if char in '"\\\n' or data.draw(st.booleans()):
            simple = json.dumps(char)[1:-1]
            out += simple if simple.startswith("\\") and data.draw(st.booleans()) else _codes(char)
        else:
            out += char
    return out


def _codes(char: str) -> str:
    units = char.encode("utf-16-be")
    return "".join(f"\\u{units[at]:02x}{units[at + 1]:02x}" for at in range(0, len(units), 2))


@given(PIECES.map("".join), PATTERNS, st.data(), CUTS)
def test_escapes_hide_nothing(text: str, patterns: list[str], data: st.DataObject, cuts: list[int]) -> None:
    raw = escaped(text, data)
    assert json.loads(f'"{raw}"') == text
    matcher = BruteMatcher(patterns)
    stream = UnescapedStream(matcher.stream())
    told: list[Found] = []
    for piece in cut(raw, cuts):
        before = stream.hold_from
        news = stream.feed(piece)
        assert all(one.start >= before for one in news), "none of a match has left when it is told"
        assert stream.hold_from >= before
        told += news
    told += stream.finish()
    assert [(json.loads(f'"{raw[a:b]}"'), which) for a, b, which in sorted(told)] == [
        (text[a:b], which) for a, b, which in matcher.scan(text)
    ]


def test_what_is_no_json_stands_for_itself() -> None:
    for raw in (r"\x", r"\u12", r"\ud83d", r"\ud83d\n", r"\ud83dA", "\\", r"\udc00"):
        stream = UnescapedStream(BruteMatcher(["A", "x"]).stream())
        told = [one for char in raw for one in stream.feed(char)] + stream.finish()
        assert [raw[a:b] for a, b, _ in told] == [char for char in raw if char in "Ax"]
