from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.moderation.judges.verdicts import Failure, Span, Verdict
from server.moderation.judges.windows import Range, Windows, combined, covered, cut

SIZES = st.tuples(st.integers(1, 30), st.integers(0, 29), st.integers(1, 6)).filter(lambda one: one[1] < one[0])


@given(st.integers(1, 200), SIZES)
def test_windows_cover_what_they_can_and_say_how_much(length: int, size: tuple[int, int, int]) -> None:
    windows = Windows(*size)
    ranges = cut(length, windows)
    assert len(ranges) <= windows.most
    assert ranges == sorted(ranges)
    assert all(0 < one.end - one.start <= windows.chars for one in ranges)
    assert ranges[0].start == 0
    seen = {at for one in ranges for at in range(*one)}
    assert covered(ranges) == len(seen)
    if len(seen) == length:
        assert all(after.start <= before.end - windows.overlap for before, after in pairwise(ranges))
    else:
        assert len(ranges) == windows.most
        if windows.most > 1:
            assert ranges[-1].end == length


def test_a_text_too_long_is_seen_at_both_ends() -> None:
    assert cut(1_000_000, Windows(16_000, 400, 4)) == [
        (0, 16_000),
        (15_600, 31_600),
        (31_200, 47_200),
        (984_000, 1_000_000),
    ]
    assert cut(16_000, Windows(16_000, 400, 4)) == [(0, 16_000)]
    assert cut(16_001, Windows(16_000, 400, 1)) == [(0, 16_000)]


FIRST, SECOND = Range(0, 10), Range(8, 18)
CLEAN = Verdict(False, {}, "safe", 10, 10)
BAD = Verdict(True, {"hate": 0.7}, "unsafe", 10, 10)


@pytest.mark.parametrize(
    ("one", "other", "outcome"),
    [
        (CLEAN, CLEAN, Verdict(False, {}, "safe", 18, 18)),
        (CLEAN, BAD, Verdict(True, {"hate": 0.7}, "unsafe", 18, 18)),
        (Failure.LATE, BAD, Verdict(True, {"hate": 0.7}, "unsafe", 10, 18)),
        (CLEAN, Failure.LATE, Failure.LATE),
        (Failure.MALFORMED, Failure.LATE, Failure.MALFORMED),
    ],
)
def test_one_outcome_of_several(one: Verdict | Failure, other: Verdict | Failure, outcome: Verdict | Failure) -> None:
    assert combined([(FIRST, one), (SECOND, other)], 18) == outcome


def spotted(*spans: Span) -> Verdict:
    return Verdict(True, {}, "private_data", 10, 10, spans)


def test_spans_are_of_the_whole_text_and_one_where_windows_overlap() -> None:
    first = spotted(Span("a", 1, 3, 0.5), Span("a", 7, 10, 0.6), Span("b", 8, 10, 0.9))
    second = spotted(Span("a", 0, 4, 0.8), Span("b", 3, 5, 0.4), Span("a", 9, 10, 0.2))
    outcome = combined([(FIRST, first), (SECOND, second)], 18)
    assert isinstance(outcome, Verdict)
    assert outcome.spans == (
        Span("a", 1, 3, 0.5),
        Span("a", 7, 12, 0.8),
        Span("b", 8, 10, 0.9),
        Span("b", 11, 13, 0.4),
        Span("a", 17, 18, 0.2),
    )
