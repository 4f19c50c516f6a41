from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from server.responses.summary import SHORT, excerpt


def test_a_short_one_is_told_whole_and_a_long_one_to_the_end_of_a_sentence() -> None:
    assert excerpt(" They greet me. ", "auto") == "They greet me."
    long = "They greet me. " * 40
    assert excerpt(long, "concise") == ("They greet me. " * (SHORT // 15)).strip()
    assert excerpt(long, "detailed") == long.strip()
    assert excerpt("word " * 100, "auto") == ("word " * 60).strip() + "…"
    assert excerpt("", "auto") is excerpt("They greet me.", None) is None


@given(st.text(max_size=1000), st.sampled_from(("auto", "concise", "detailed")))
def test_it_is_an_excerpt(reasoning: str, wanted: str) -> None:
    told = excerpt(reasoning, wanted)
    assert told is None or told.removesuffix("…") in reasoning
    assert told is not None or not reasoning.strip()
