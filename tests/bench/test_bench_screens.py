"""The bench of rules measures what it says."""

from __future__ import annotations

from bench import screens
from bench.screens import Line, held, inspect, literals, policy, read, report
from server.moderation.build import build_matchers
from server.moderation.ruleset import Ruleset


def test_prose_passes_and_what_is_named_does_not() -> None:
    ruleset = Ruleset(policy(True, True), build_matchers, screens._no_judge)
    assert inspect(ruleset, screens.PROSE) == 0
    assert inspect(ruleset, f"a {literals()[7]} and {literals()[-1]} for a@b.com") == 3
    chunks = ["so ", "it ", "goes"]
    assert read(ruleset, chunks) == 10


def test_few_characters_of_a_stream_wait_among_ten_thousand_literals() -> None:
    ruleset = Ruleset(policy(True, False), build_matchers, screens._no_judge)
    assert 0 < held(ruleset, screens.PROSE) <= 2
    assert held(ruleset, f"{literals()[7][:-1]} " * 9) > 2, "what could still become a literal"


def test_the_report_holds_the_figures_to_their_bars() -> None:
    lines = {
        name: Line(0.5, 50e-6, 12e-6, 1.5, 0.1, {"digits": 0.9, "zero-width": 0.2}) for name in ("literals", "both")
    }
    text = report(lines)
    assert "1 kB prompt, both: 50.0 µs (bar 60): met" in text
    assert "chunk of a stream, both: 12.0 µs (bar 10): MISSED" in text
    assert "held of a stream, literals alone: 1.5 characters (bar 2): met" in text
    assert "hostile / plain text, both: 9.0 x (bar 10): met" in text
