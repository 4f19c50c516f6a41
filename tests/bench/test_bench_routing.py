"""The simulation of policies: the same trace for all, and what it is meant to show."""

from __future__ import annotations

import pytest

from bench.routing import Engine, Turn, policies, simulate, trace


def test_a_trace_is_of_conversations_that_grow() -> None:
    turns = trace(5.0, 3)
    assert turns == trace(5.0, 3)
    assert [turn.at for turn in turns] == sorted(turn.at for turn in turns)
    last: dict[int, Turn] = {}
    for turn in turns:
        before = last.get(turn.conversation)
        assert before is None or turn.prompt > before.prompt + before.answer
        assert turn.prompt > turn.instructions
        last[turn.conversation] = turn


def test_a_cache_forgets_what_was_used_longest_ago(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.routing.CACHE_TOKENS", 1_000)
    engine = Engine("one")
    turns = [Turn(0.0, number, 0, 100, 300, 100) for number in range(3)]
    for turn in turns:
        engine.keep(turn)
    assert [engine.found(turn) for turn in turns] == [100, 400, 400]
    assert engine.cached == 900


@pytest.mark.parametrize("per_s", [2.0, 5.0])
def test_affinity_finds_more_and_waits_less_without_a_busier_engine(per_s: float) -> None:
    turns = trace(per_s, 2)
    outcomes = {name: simulate(turns, policy) for name, policy in policies().items()}
    ours = outcomes.pop("prefix, bounded (Portico)")
    for other in outcomes.values():
        assert ours.hit_rate > other.hit_rate + 0.1
        assert ours.quantile(0.99) < other.quantile(0.99)
    assert ours.most < 1.1
