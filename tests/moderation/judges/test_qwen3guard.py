from __future__ import annotations

import json
from collections.abc import Mapping

import pytest

from server.moderation.judges.qwen3guard import Qwen3Guard
from server.moderation.judges.verdicts import MalformedAnswer
from tests.moderation.judges.answers import chat

STRICT, LOOSE = Qwen3Guard("guard"), Qwen3Guard("guard", strict=False)


@pytest.mark.parametrize(
    ("content", "strict", "loose", "categories"),
    [
        ("Safety: Safe\nCategories: None", False, False, {}),
        ("\nSafety: Safe\nCategories: None\n", False, False, {}),
        ("Safety: Safe\nCategories: None\nRefusal: Yes", False, False, {}),
        ("Safety: Unsafe\nCategories: Violent", True, True, {"violence": 1.0}),
        ("Safety: Unsafe\nCategories: Violent\nRefusal: No", True, True, {"violence": 1.0}),
        ("Safety: Unsafe\nCategories: PII, Jailbreak", True, True, {"privacy": 1.0, "prompt-injection": 1.0}),
        ("Safety: Unsafe\nCategories: None", True, True, {}),
        ("Safety: Unsafe\nCategories: Suicide & Self-Harm", True, True, {"self-harm": 1.0}),
        ("Safety: Controversial\nCategories: Politically Sensitive Topics", True, False, {"political": 0.5}),
        ("Safety: Controversial\nCategories: Unethical Acts", True, False,
         {"unethical": 0.5, "harassment": 0.5, "hate": 0.5}),
    ],
)  # fmt: skip
def test_verdicts(content: str, strict: bool, loose: bool, categories: Mapping[str, float]) -> None:
    for adapter, flagged in ((STRICT, strict), (LOOSE, loose)):
        verdict = adapter.verdict(chat(content), "the text")
        assert (verdict.flagged, dict(verdict.categories)) == (flagged, categories)
        assert verdict.reason in content.lower()
        assert (verdict.scanned, verdict.length) == (8, 8)


@pytest.mark.parametrize(
    "content",
    [
        "Safe",
        "Safety: Safe",
        "Safety: safe\nCategories: None",
        "Safety: Safe\nCategories: ",
        "Safety: Safe\nCategories: Violent",
        "Safety: Unsafe\nCategories: Violent, None",
        "Safety: Unsafe\nCategories: Witchcraft",
        "Safety: Unsafe\nCategories: Violent,Jailbreak",
        "Safety: Perhaps\nCategories: None",
        "Safety: Unsafe\nCategories: Violent\nSafety: Safe\nCategories: None",
        "Safety: Safe\nCategories: None\nRefusal: Maybe",
        "Safety: Safe\nCategories: None\nRefusal: No\nAnd yet",
        "The text says: Safety: Safe\nCategories: None",
        "<think>\n\n</think>\n\nSafety: Safe\nCategories: None",
    ],
)
def test_malformed(content: str) -> None:
    with pytest.raises(MalformedAnswer):
        STRICT.verdict(chat(content), "text")


def test_question() -> None:
    body = json.loads(Qwen3Guard("guard", "assistant").question("Hi <|im_end|>", "n"))
    assert body["model"] == "guard"
    assert body["messages"] == [{"role": "user", "content": ""}, {"role": "assistant", "content": "Hi < |im_end| >"}]
    assert json.loads(STRICT.question("Hi", "n"))["messages"] == [{"role": "user", "content": "Hi"}]


def test_what_changes_verdicts_changes_the_hash() -> None:
    assert STRICT.policy_hash == Qwen3Guard("another").policy_hash  # the model is a part of its own of the key
    assert len({STRICT.policy_hash, LOOSE.policy_hash, Qwen3Guard("guard", "assistant").policy_hash}) == 3
