"""What is kept of the text around a match."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.call import Key, Project
from server.moderation.decisions import Decision, Excerpt, Match
from server.moderation.excerpts import MOST_EXCERPTS, Source, excerpts_of
from server.moderation.record import excerpts_in, record_of
from server.stores.aes_gcm import AesGcm
from server.stores.base import StoreError
from server.stores.sealing import PLAIN, UnknownKey

KEY, OTHER = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=", "YWJjZGVmMDEyMzQ1Njc4OTAxMjM0NTY3ODlhYmNkZWY="
WHO = Key("key_1", "app", Project("proj_1", "team"))


def match(start: int, end: int, where: str = "messages[0].content") -> Match:
    return Match("r", "own", "block", "rules", where, start, end)


@given(st.text(max_size=60), st.data(), st.integers(1, 40), st.integers(0, 1000))
def test_an_excerpt_shows_its_match(text: str, data: st.DataObject, chars: int, base: int) -> None:
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, len(text)))
    cut = data.draw(st.integers(0, len(text)))
    (one,) = excerpts_of([match(base + start, base + end)], [Source((text[:cut], text[cut:]), base)], chars)
    assert len(one.text) == min(chars, len(text)) or one.start == base + start
    first = one.start - base
    assert text[first : first + len(one.text)] == one.text and len(one.text) <= chars
    assert first <= start and (end - start > chars or first + len(one.text) >= end)


def test_each_text_once_and_a_few_of_them() -> None:
    source = Source(("a bomb and a bomb" + "." * 1000 + "bomb",))
    found = excerpts_of([match(2, 6), match(13, 17), match(1017, 1021)], [source] * 3, 40)
    assert [(one.match, "bomb" in one.text) for one in found] == [(0, True), (2, True)]
    other = Source(("a bomb and a candle",))
    assert [one.match for one in excerpts_of([match(2, 6), match(2, 6)], [source, other], 40)] == [0, 1]
    many = [match(at * 100, at * 100 + 1) for at in range(50)]
    assert len(excerpts_of(many, [Source(("x" * 5000,))] * 50, 20)) == MOST_EXCERPTS


def decision(*excerpts: Excerpt) -> Decision:
    matches = (match(2, 6),)
    facts = ("req_1", "proj_1", "key_1", "house", 1, "hash", "input", "block", matches, 0, {}, {}, 1.0, 0.0, "hmac")
    return Decision(*facts, None, excerpts)  # type: ignore[arg-type]


def test_sealed_for_its_record() -> None:
    """Another key does not open it, nor does it open in another record; nothing of it can be read."""
    excerpt = Excerpt(0, 0, "a bomb \ud800 灯笼")
    sealing = AesGcm(KEY)
    record = record_of(decision(excerpt), WHO, 0, 1, sealing)
    assert "bomb" not in str(record)
    assert excerpts_in(record, sealing) == excerpts_in(record, AesGcm(OTHER, [KEY])) == [excerpt]
    for foreign in (AesGcm(OTHER), PLAIN):
        with pytest.raises(UnknownKey):
            excerpts_in(record, foreign)
    second = record_of(decision(excerpt), WHO, 1, 1, sealing)
    second.details["excerpts"] = record.details["excerpts"]
    with pytest.raises(StoreError):
        excerpts_in(second, sealing)
    record.details["excerpts"] = "AAAA"
    with pytest.raises(StoreError):
        excerpts_in(record, sealing)


def test_none_without_a_key() -> None:
    record = record_of(decision(Excerpt(0, 0, "a bomb")), WHO, 0, 1, None)
    assert "excerpts" not in record.details and "bomb" not in str(record)
    assert excerpts_in(record, AesGcm(KEY)) == []
