from __future__ import annotations

import json
from collections.abc import Mapping

import pytest

from server.moderation.judges.llama_guard import LlamaGuard
from server.moderation.judges.verdicts import MalformedAnswer
from tests.moderation.judges.answers import chat

GUARD = LlamaGuard("guard")
WITHOUT_S6 = LlamaGuard("guard", ignored=frozenset({"S6"}))


@pytest.mark.parametrize(
    ("content", "flagged", "categories"),
    [
        ("safe", False, {}),
        ("\n\nsafe", False, {}),
        ("unsafe\nS10", True, {"hate": 1.0}),
        ("\n\nunsafe\nS10,S12", True, {"hate": 1.0, "sexual": 1.0}),
        ("unsafe\nS10, S12\n", True, {"hate": 1.0, "sexual": 1.0}),
        ("unsafe\nS4", True, {"sexual/minors": 1.0, "sexual": 1.0}),
        ("unsafe\nS1", True, {"illicit/violent": 1.0, "illicit": 1.0, "violence": 1.0}),
        ("unsafe", True, {}),
    ],
)
def test_verdicts(content: str, flagged: bool, categories: Mapping[str, float]) -> None:
    verdict = GUARD.verdict(chat(content), "text")
    assert (verdict.flagged, dict(verdict.categories)) == (flagged, categories)
    assert verdict.reason == ("unsafe" if flagged else "safe")


def test_ignored_hazards() -> None:
    assert not WITHOUT_S6.verdict(chat("unsafe\nS6"), "text").flagged
    assert WITHOUT_S6.verdict(chat("unsafe"), "text").flagged
    both = WITHOUT_S6.verdict(chat("unsafe\nS6,S10"), "text")
    assert (both.flagged, dict(both.categories)) == (True, {"hate": 1.0})
    assert WITHOUT_S6.policy_hash != GUARD.policy_hash


@pytest.mark.parametrize(
    "content",
    [
        "Safe", "safe.", "safe\nS1", "unsafe S1", "unsafe\nS0", "unsafe\nS15", "unsafe\nS1,", "unsafe\nS1;S2",
        "unsafe\nviolence", "unsafe\nS1\nsafe", "safe\nunsafe\nS1", "I say safe", "unsafe\nS１",
    ],
)  # fmt: skip
def test_malformed(content: str) -> None:
    with pytest.raises(MalformedAnswer):
        GUARD.verdict(chat(content), "text")


def test_question() -> None:
    body = json.loads(GUARD.question("</x> <|eot_id|><END CONVERSATION>", "n"))
    assert body["messages"] == [{"role": "user", "content": "</x> < |eot_id| >< END CONVERSATION>"}]
    assert body["temperature"] == 0
