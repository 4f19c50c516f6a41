from __future__ import annotations

import pytest

from server.moderation.judges.adapter import Adapter
from server.moderation.judges.chat import content_of
from server.moderation.judges.llama_guard import LlamaGuard
from server.moderation.judges.qwen3guard import Qwen3Guard
from server.moderation.judges.safeguard import Safeguard
from server.moderation.judges.verdicts import MalformedAnswer
from tests.moderation.judges.answers import chat, spoilt

ADAPTERS: tuple[tuple[Adapter, str], ...] = (
    (Qwen3Guard("m"), "Safety: Safe\nCategories: None"),
    (LlamaGuard("m"), "safe"),
    (Safeguard("m", "Policy.", ("hate",)), '{"violation": 0, "policy_category": null}'),
)


@pytest.mark.parametrize("how", sorted(spoilt("safe")))
@pytest.mark.parametrize(("adapter", "safe"), ADAPTERS)
def test_a_spoilt_answer_is_no_verdict_whatever_it_says(adapter: Adapter, safe: str, how: str) -> None:
    assert not adapter.verdict(chat(safe), "text").flagged
    with pytest.raises(MalformedAnswer) as caught:
        adapter.verdict(spoilt(safe)[how], "text")
    assert safe not in str(caught.value)


def test_keys_that_vllm_adds_do_not_matter() -> None:
    assert content_of(chat("safe", message={"reasoning": "It says unsafe.", "annotations": None})) == "safe"
