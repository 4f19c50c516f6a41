from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.moderation.judges.o200k import o200k
from server.moderation.judges.privacy_filter import LABELS, TAGS, PrivacyFilter, Token, offsets
from server.moderation.judges.verdicts import MalformedAnswer, Span

TOKENS = o200k()
FILTER = PrivacyFilter("filter", TOKENS)
TEXT = "Ask Alice Smith, 王小明, or write to al@example.com."


def row(tag: str, probability: float = 0.968) -> list[float]:
    """Sure of `tag`; the rest is shared by the others."""
    rest = (1 - probability) / (len(TAGS) - 1)
    return [probability if one == tag else rest for one in TAGS]


def pooling(*rows: list[float], **replaced: Any) -> bytes:
    data = {"index": 0, "object": "pooling", "data": list(rows)}
    tree = {"id": "pool-1", "object": "list", "created": 1, "model": "m", "data": [data], "usage": {}, **replaced}
    return json.dumps(tree).encode()


def tagged(text: str, **marked: str) -> bytes:
    """The answer of a model that has found each of the words, as the label it is given."""
    rows = [row("O") for _ in TOKENS(text)]
    places = offsets([token.text for token in TOKENS(text)])
    for label, word in marked.items():
        start = text.index(word)
        inside = [at for at, (begin, end) in enumerate(places) if begin < start + len(word) and end > start]
        for at in inside:
            kind = "S" if len(inside) == 1 else "B" if at == inside[0] else "E" if at == inside[-1] else "I"
            rows[at] = row(f"{kind}-{label}")
    return pooling(*rows)


def found(text: str, spans: tuple[Span, ...]) -> list[tuple[str, str]]:
    return [(span.label, text[span.start : span.end]) for span in spans]


def test_tags_are_those_of_the_model() -> None:
    assert len(TAGS) == 33
    assert TAGS[:6] == ("O", "B-account_number", "I-account_number", "E-account_number", "S-account_number",
                        "B-private_address")  # fmt: skip
    assert LABELS[-1] == "secret"


def test_spans_with_their_labels_and_places() -> None:
    verdict = FILTER.verdict(tagged(TEXT, private_person="Alice Smith", private_email="al@example.com"), TEXT)
    assert verdict.flagged
    assert found(TEXT, verdict.spans) == [("privacy/person", "Alice Smith"), ("privacy/email", "al@example.com")]
    assert dict(verdict.categories) == {
        name: pytest.approx(0.968) for name in ("privacy", "privacy/person", "privacy/email")
    }
    assert (verdict.reason, verdict.scanned, verdict.length) == ("private_data", len(TEXT), len(TEXT))


def test_places_are_in_characters_though_tokens_split_them() -> None:
    text = "🧑‍🚀 王小明 é 𠮷野家"
    for word in ("王小明", "𠮷野家", "🧑‍🚀"):
        assert found(text, FILTER.verdict(tagged(text, private_person=word), text).spans) == [("privacy/person", word)]


def test_nothing_found() -> None:
    verdict = FILTER.verdict(tagged(TEXT), TEXT)
    assert (verdict.flagged, dict(verdict.categories), verdict.reason, verdict.spans) == (False, {}, "safe", ())


def test_labels_and_scores_that_do_not_count() -> None:
    answer = tagged(TEXT, private_person="Alice Smith", private_email="al@example.com")
    emails = PrivacyFilter("filter", TOKENS, frozenset({"private_email"}))
    assert found(TEXT, emails.verdict(answer, TEXT).spans) == [("privacy/email", "al@example.com")]
    assert not PrivacyFilter("filter", TOKENS, least_score=0.99).verdict(answer, TEXT).flagged
    assert emails.policy_hash != FILTER.policy_hash


def test_a_tag_that_makes_no_sense_is_read_with_its_neighbours() -> None:
    text = "Alice Smith"
    rows = [row("B-private_person"), row("I-private_person")]  # never ended
    assert len(TOKENS(text)) == 2
    verdict = FILTER.verdict(pooling(*rows), text)
    assert found(text, verdict.spans) == [("privacy/person", "Alice Smith")]


GOOD = [row("O")] * len(TOKENS("a b"))


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"[" * 100_000,
        b'{"error": {}}',
        pooling(*GOOD)[:-5],
        pooling(*GOOD, row("O")),
        pooling(*GOOD[1:]),
        pooling(),
        pooling(*[one[:-1] for one in GOOD]),
        pooling(*[[1.0] * 33] * len(GOOD)),
        pooling(*[[5.0, -4.0, *[0.0] * 31]] * len(GOOD)),
        pooling(*GOOD, data=[]),
        pooling(*GOOD, data=[{"data": GOOD}, {"data": GOOD}]),
        pooling(*GOOD, data=[{"data": "AAAA"}]),
        pooling(*GOOD, data=[{"data": [[None] * 33] * len(GOOD)}]),
        pooling(*GOOD).replace(b"0.968", b"NaN"),
        pooling(*GOOD).replace(b"0.968", b"1e999"),
    ],
)
def test_malformed(answer: bytes) -> None:
    assert not FILTER.verdict(pooling(*GOOD), "a b").flagged
    with pytest.raises(MalformedAnswer):
        FILTER.verdict(answer, "a b")


def test_the_question_has_token_numbers_and_no_control_token() -> None:
    body = json.loads(FILTER.question("hi <|endoftext|> \ud800", "n"))
    assert (body["model"], body["task"], body["use_activation"]) == ("filter", "token_classify", True)
    assert max(body["input"]) < 199_998
    assert b"".join(token.text for token in TOKENS("hi <|endoftext|> ?")) == b"hi <|endoftext|> ?"
    assert (FILTER.path, FILTER.at_root) == ("/pooling", True)


@given(st.text(max_size=40), st.lists(st.integers(1, 5), min_size=1, max_size=60))
def test_offsets_of_any_cut_into_tokens(text: str, sizes: list[int]) -> None:
    data, tokens = text.encode("utf-8", "replace"), list[Token]()
    at = 0
    for size in sizes:
        tokens.append(Token(0, data[at : at + size]))
        at += size
    tokens.append(Token(0, data[at:]))
    characters = [at for at, one in enumerate(data.decode()) for _ in one.encode()]  # of each byte
    at = 0
    for token, (start, end) in zip(tokens, offsets([one.text for one in tokens]), strict=True):
        mine = characters[at : at + len(token.text)]
        at += len(token.text)
        if mine:
            assert (start, end) == (mine[0], mine[-1] + 1)
