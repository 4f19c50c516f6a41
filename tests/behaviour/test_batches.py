"""Batches of the whole app: through OpenAI's SDK, over the engine double."""

from __future__ import annotations

import pytest

from tests.behaviour.batches import all_results, chat_line, created, names, results, until
from tests.behaviour.engine_double import EngineDouble
from tests.behaviour.serving import portico
from tests.behaviour.vllm import PROMPT_TOKENS


async def test_a_batch_from_upload_to_output() -> None:
    async with EngineDouble() as engine, portico(engine) as gate, gate.sdk() as client:
        lines = [chat_line(f"r{number}") for number in range(30)]
        batch = await created(client, lines, metadata={"job": "nightly"})
        assert (batch.status, batch.endpoint) == ("validating", "/v1/chat/completions")
        batch = await until(client, batch.id, "completed")
        counts = batch.request_counts
        assert counts and (counts.total, counts.completed, counts.failed) == (30, 30, 0)
        assert batch.error_file_id is None and batch.metadata == {"job": "nightly"}
        assert batch.usage and batch.usage.input_tokens == 30 * PROMPT_TOKENS
        found = await results(client, batch.output_file_id)
        assert names(found) == sorted(f"r{number}" for number in range(30))
        assert len(engine.calls) == 30
        for one in found:
            assert one["error"] is None and one["response"]["status_code"] == 200
            assert one["response"]["body"]["object"] == "chat.completion"
