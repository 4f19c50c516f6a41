"""Rule files of gitleaks: what is used of them, what is warned of, what is refused."""

from __future__ import annotations

import pytest

from server.moderation.gitleaks import BadRules, load_gitleaks
from server.moderation.patterns import PatternMatcher

SAMPLE = r"""
title = "sample"

[extend]
useDefault = true

[[allowlists]]
regexes = ['''EXAMPLE$''']
stopwords = ["Placeholder"]

[[rules]]
id = "acme-key"
description = "A key of Acme."
regex = '''(?i)\bacme[\w.-]{0,10}?\s*[:=]+\s*["']?([a-z0-9]{20,})(?:["'\s;]|$)'''
entropy = 3
keywords = ["acme"]

[[rules]]
id = "second-group"
regex = '''(user)=\w{3,}&(secret)=(\w{8,12})'''
secretGroup = 3
entropy = 2.5
path = '''\.env$'''

[[rules]]
id = "plain"
regex = '''\bPLN-[0-9]{6}\b'''

[[rules]]
id = "lists"
regex = '''LST-(\w{4,8})'''
[[rules.allowlists]]
regexTarget = "match"
regexes = ['''^LST-zz''']
[[rules.allowlists]]
condition = "AND"
regexes = ['''^[0-9]+$''']
stopwords = ["77"]
[[rules.allowlists]]
condition = "AND"
paths = ['''x''']
regexes = ['''.''']
[[rules.allowlists]]
regexTarget = "line"
regexes = ['''.''']

[[rules]]
id = "file"
path = '''\.p12$'''

[[rules]]
id = "neighbours"
regex = '''abc'''
[[rules.required]]
id = "plain"

[[rules]]
id = "looks-around"
regex = '''(?=a)b'''
"""


def found(text: str) -> list[tuple[str, str]]:
    rules = load_gitleaks(SAMPLE).rules
    matches = PatternMatcher([rule.pattern for rule in rules]).scan(text)
    return [(rules[one.pattern].id, text[one.start : one.end]) for one in matches]


def test_what_is_used_and_what_is_warned_of() -> None:
    file = load_gitleaks(SAMPLE)
    assert [rule.id for rule in file.rules] == ["acme-key", "second-group", "plain", "lists"]
    assert file.rules[0].description == "A key of Acme."
    assert file.rules[0].pattern.regex.width == 4 + 10 + 256 + 257 + 256 + 1 + 276 + 1
    assert file.warnings == [
        "extend: not read; only the rules of this file are used",
        "acme-key: repetitions without a bound have one of 256 more than the least",
        "second-group: path is not used; the rule holds everywhere",
        "second-group: repetitions without a bound have one of 256 more than the least",
        "lists: an allowlist that looks at the line is not used",
        "file: left out, it has no regex, only a path",
        "neighbours: left out, it wants other matches near by (required)",
        "looks-around: left out, character 1: look-around is not supported; "
        "match what stands beside it too, or use \\b",
    ]


def test_entropy_is_that_of_the_secret() -> None:
    assert found("ACME_TOKEN = 'q8w7e6r5t4y3u2i1o0pa'") == [("acme-key", "ACME_TOKEN = 'q8w7e6r5t4y3u2i1o0pa'")]
    assert found("acme: aaaaaaaaaaaaaaaaaaaaaaaa ") == []
    assert found("user=abcdef&secret=a1b2c3d4") == [("second-group", "user=abcdef&secret=a1b2c3d4")]
    assert found("user=a1b2c3d4&secret=aaaaaaaa") == []


def test_allowlists() -> None:
    assert found("PLN-123456 LST-ab12") == [("plain", "PLN-123456"), ("lists", "LST-ab12")]
    assert found("acme: q8w7e6r5t4y3u2i1o0paPLACEHOLDER ") == []
    assert found("acme: q8w7e6r5t4y3u2i1o0paEXAMPLE ") == []
    assert found("LST-zz12") == []
    assert found("LST-7712") == []
    assert found("LST-1234 LST-x77y") == [("lists", "LST-1234"), ("lists", "LST-x77y")]


def test_an_allowlist_in_the_older_form() -> None:
    (rule,) = load_gitleaks('[allowlist]\nstopwords = "no"\n[[rules]]\nid = "a"\nregex = "x[a-z]{2}"').rules
    assert len(PatternMatcher([rule.pattern]).scan("xno xab")) == 1


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[[rules", "not TOML: "),
        ("title = 'x'", "it holds no rule that can be used"),
        ("[[rules]]\nregex = 'a'", "rule 1 has no id"),
        ("[[rules]]\nid = 'a'\nregex = 'a'\n[[rules]]\nid = 'a'\nregex = 'b'", "rule 2 has the id of another one, a"),
        ("[[rules]]\nid = 'a'\nregex = '(?=a)'", "it holds no rule that can be used; a: left out, character 1: look"),
        ("[[rules]]\nid = 'a'\nregex = '(a)'\nsecretGroup = 2", "a: secretGroup is 2, and its regex has 1 groups"),
        ("[[rules]]\nid = 'a'\nregex = 'a'\nentropy = 'x'", "a: secretGroup is a whole number, entropy a number"),
        ("rules = 1", "rules is no table"),
        ("[[rules]]\nid = 'a'\nregex = 'a'\n[[rules.allowlists]]\nregexes = ['(']", "a: an expression of an allowlist"),
        ("[[rules]]\nid = 'a'\nregex = 'a'\n[[rules.allowlists]]\nstopwords = [1]", "a: stopwords is no list of texts"),
    ],
)
def test_refused(text: str, reason: str) -> None:
    with pytest.raises(BadRules) as refusal:
        load_gitleaks(text)
    assert str(refusal.value).startswith(reason)
    assert "\n" not in str(refusal.value)
