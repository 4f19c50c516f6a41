"""What is read of an expression, and what is refused, with the reason and the place."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from server.moderation.expressions import Expression
from server.moderation.regex import BadRegex, parse, parse_capped
from tests.moderation import expressions
from tests.moderation.expressions import EXPRESSIONS, TEXTS, Expr

REFUSED = {
    "ab*": "character 3: '*' has no upper bound; write one, for instance {0,64}",
    "灯+": "character 2: '+' has no upper bound; write one, for instance {1,64}",
    "a{3,}": "character 2: '{3,}' has no upper bound; write one, for instance {3,66}",
    "(?=a)b": "character 1: look-around is not supported; match what stands beside it too, or use \\b",
    "a(?<!b)c": "character 2: look-around is not supported; match what stands beside it too, or use \\b",
    r"(a)\1": "character 4: back-references are not supported",
    r"(?P<x>a)\k<x>": "character 9: back-references are not supported",
    "a{0,3}": "it matches the empty text; let it have at least one character",
    "^$": "it matches the empty text; let it have at least one character",
    "": "it matches the empty text; let it have at least one character",
    "a{1,1001}": "character 2: a repetition is from few to many, and at most 1000",
    "a{5,2}": "character 2: a repetition is from few to many, and at most 1000",
    "(?:a{1,50}){1,50}": "repetitions within each other come to 2500, and 1000 is the most",
    "(?:abcde){1,999}": "its longest match has 4995 characters, and at most 2048 are held back in a stream",
    "(?:" + "|".join(["a{1,1000}"] * 9) + ")": "with every repetition written out it has 9000 characters, "
    "and 8192 is the most",
    r"\p{L}{1,999}x": "RE2 would need too much memory for it; repeat large classes (\\p{...}, [^...]) less often",
    "a{,3}": "character 2: write {0,3}: engines do not agree on {,3}",
    "a{1,2}{3}": "character 7: a repetition is repeated; put the first into a group (?:...)",
    "a{1,2}+": "character 7: a repetition is repeated; put the first into a group (?:...)",
    r"\b{2}a": "character 1: an assertion cannot be repeated",
    "*a": "character 1: '*' repeats nothing; write \\* for the character",
    "(a": "character 1: the group that opens here is not closed",
    "a)": "character 2: ')' closes no group; write \\) for the character",
    "[ab": "character 1: the class that opens here is not closed",
    "[b-a]": "character 3: a range goes from one character to a later one",
    "[[:letter:]]": "character 2: no such class of characters; known are [:alpha:], [:digit:], [:punct:] and the like",
    r"\p{Klingon}": "character 1: \\p wants the name of a class of Unicode, for instance \\p{Han}",
    r"\x{110000}": "character 1: this is no code of a character",
    r"\q": "character 1: \\q is not known",
    "a\\": "character 3: the expression ends too early",
    "(?x)a": "character 1: this kind of group is not supported; known are (?:...), (?P<name>...), (?i), (?s), (?m)",
    "(" * 41 + "a" + ")" * 41: "character 41: more than 40 groups within each other",
}


@pytest.mark.parametrize("source", REFUSED, ids=[source[:20] for source in REFUSED])
def test_refused(source: str) -> None:
    with pytest.raises(BadRegex) as refusal:
        parse(source)
    assert str(refusal.value) == REFUSED[source]


MATCHES = [
    (r"a\.b", "a.b", "axb"),
    ("[]a]", "]", "b"),
    ("[a-]", "-", "b"),
    (r"[^\s-]", "x", "-"),
    (r"[\d_]x", "_x", "ax"),
    ("[[:alpha:]]1", "q1", "11"),
    (r"\x41\u706f\x{1F600}", "A灯😀", "a灯"),
    (r"\p{Han}{2}", "灯笼", "ab"),
    ("(?i)ab", "AB", "b"),
    ("a(?i)b", "aB", "AB"),
    ("a(?i:b)c", "aBc", "aBC"),
    ("(?:(?i)a|b)c", "Bc", "BC"),
    ("(?s).a", "\na", "a"),
    (".a", "灯a", "\na"),
    ("(?m:^)a", "a", "b"),
    ("a{2}?", "aa", "a"),
    ("x{a}", "x{a}", "xaa"),
    (r"a\Z", "a", "b"),
    ("(?P<name>a)|(?<other>b)", "b", "c"),
]


@pytest.mark.parametrize(("source", "matched", "other"), MATCHES)
def test_read_as_meant(source: str, matched: str, other: str) -> None:
    expression = Expression(parse(source, ignore_case=False).source)
    assert expression.search(matched.encode()) == (0, len(matched.encode()))
    assert expression.search(other.encode()) is None


def test_case_is_of_no_regard_unless_it_is_asked_for() -> None:
    for source, text in (("ab", "AB"), ("[a-c]ß", "Bß"), ("é", "É"), ("skunk", "ſ\u212aunk".replace("k", "K"))):
        assert Expression(parse(source).source).search(text.encode()) is not None
        assert Expression(parse(source, ignore_case=False).source).search(text.encode()) is None
    assert Expression(parse("(?-i)ab").source).search(b"AB") is None
    assert Expression(parse("[^a]").source).search(b"A") is None


def test_width() -> None:
    assert parse("a{2,5}(?:bc|d)?灯").width == 8
    assert parse("a{2,5}(?:bc|d)?灯").least == 3
    assert parse(r"\b(?:ab{1,3}){1,4}\b$").width == 16


def test_a_long_text_is_not_nested_deeper_than_re2_reads() -> None:
    word = "".join(chr(0x4E00 + number) for number in range(2000))
    unfinished = Expression(f"(?:{parse(word).unfinished})\\z")
    assert unfinished.search(word[:1500].encode()) == (0, 4500)
    assert unfinished.search(word.encode()) == (6000, 6000)
    assert Expression(f"(?:{parse('(?:a{16}b{16}){30}').unfinished})").match(b"a" * 16 + b"b" * 9, 0, 25) == 25


@settings(max_examples=300, deadline=None)
@given(EXPRESSIONS, TEXTS, st.data())
def test_every_beginning_of_a_match_is_unfinished(expr: Expr, text: str, data: st.DataObject) -> None:
    """Up to the last character; the whole match too, if a longer one begins with it."""
    try:
        regex = parse(expressions.written(expr))
    except BadRegex:
        return
    alive = Expression(f"(?:{regex.unfinished})\\z")
    spans = expressions.matches(expr, text, lambda text: True)
    for start, end in spans:
        assert end - start <= regex.width
        cut = data.draw(st.integers(start, end - 1))
        found = alive.search(text[:cut].encode(), len(text[:start].encode()))
        assert found is not None
        assert found[0] == len(text[:start].encode())


def test_a_bound_for_what_has_none() -> None:
    regex, cap = parse_capped("key-[a-z]{3,}x*")
    assert (cap, regex.width) == (256, 4 + 259 + 256)
    assert parse_capped("key-[a-z]{3}")[1] is None
    regex, cap = parse_capped("(?:[a-z]+[.])+x")
    assert cap == 16
    assert regex.width == 17 * 18 + 1
    with pytest.raises(BadRegex, match="look-around"):
        parse_capped("(?=a)b+")
    with pytest.raises(BadRegex, match="within each other"):
        parse_capped("(?:(?:(?:a+)+)+)+(?:a{999}){9}")
