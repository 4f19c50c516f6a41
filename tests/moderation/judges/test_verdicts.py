from __future__ import annotations

import pytest

from server.moderation.judges.categories import LLAMA_GUARD, OPENAI, OWN, PRIVACY_FILTER, QWEN3GUARD, scores
from server.moderation.judges.verdicts import Failure, JudgeFailed, Verdict, decided

FLAGGED = Verdict(True, {"hate": 1.0}, "unsafe", scanned=5, length=10)
CLEAN = Verdict(False, {}, "safe", scanned=10, length=10)
PARTLY = Verdict(False, {"hate": 0.5}, "safe", scanned=5, length=10)


@pytest.mark.parametrize("failure", Failure)
def test_a_failure_flags_unless_it_is_told_to_pass(failure: Failure) -> None:
    assert decided(failure).flagged
    assert decided(failure, "closed") == decided(failure)
    assert not decided(failure, "open").flagged
    assert decided(failure, "open").reason == decided(failure).reason == f"judge_{failure.value}"
    assert str(JudgeFailed(failure)) == failure.value


@pytest.mark.parametrize("mode", ["closed", "open"])
def test_a_verdict_of_the_whole_text_or_that_flags_stands(mode: str) -> None:
    for verdict in (FLAGGED, CLEAN):
        assert decided(verdict, "open" if mode == "open" else "closed") is verdict


def test_safe_as_far_as_was_looked_is_not_safe() -> None:
    assert not PARTLY.whole
    closed, opened = decided(PARTLY), decided(PARTLY, "open")
    assert (closed.flagged, closed.reason) == (True, "partly_scanned")
    assert (opened.flagged, opened.reason) == (False, "partly_scanned")
    assert closed.scanned == opened.scanned == 5


def test_every_model_speaks_of_categories_that_exist() -> None:
    known = {*OPENAI, *OWN}
    assert len(OPENAI) == 13
    assert not set(OPENAI) & set(OWN)
    for table in (QWEN3GUARD, LLAMA_GUARD):
        assert {one for names in table.values() for one in names} <= known
    assert set(PRIVACY_FILTER.values()) <= known
    assert list(LLAMA_GUARD) == [f"S{number}" for number in range(1, 15)]


def test_the_highest_score_counts_and_a_child_counts_for_its_parent() -> None:
    found = scores([("illicit/violent", 0.4), ("illicit", 0.2), ("illicit/violent", 0.3), ("hate", 1.0)])
    assert found == {"illicit/violent": 0.4, "illicit": 0.4, "hate": 1.0}
    with pytest.raises(TypeError):
        found["hate"] = 0.0  # type: ignore[index]
