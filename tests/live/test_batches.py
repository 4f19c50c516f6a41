"""Files and batches on the real engine, through the official SDK."""

from __future__ import annotations

import json
import time

from openai import OpenAI

from tests.live.conftest import MODEL

FACTS = {
    "france": ("What is the capital of France?", "Paris"),
    "japan": ("日本的首都是哪里？", ""),
    "five": ("Count from 1 to 5.", "5"),
}
LONGEST_S = 120


def line(custom_id: str, question: str) -> str:
    messages = [{"role": "user", "content": question}]
    body = {"model": MODEL, "messages": messages, "temperature": 0, "max_tokens": 400}
    return json.dumps({"custom_id": custom_id, "method": "POST", "url": "/v1/chat/completions", "body": body})


def test_a_batch_is_worked_through(client: OpenAI) -> None:
    asked = "\n".join(line(custom_id, question) for custom_id, (question, _) in FACTS.items()) + "\n"
    file = client.files.create(file=("asked.jsonl", asked.encode()), purpose="batch")
    assert client.files.content(file.id).read() == asked.encode()
    batch = client.batches.create(input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h")
    deadline = time.monotonic() + LONGEST_S
    while batch.status in ("validating", "in_progress", "finalizing") and time.monotonic() < deadline:
        time.sleep(0.3)
        batch = client.batches.retrieve(batch.id)
    assert (batch.status, batch.error_file_id) == ("completed", None)
    assert batch.request_counts is not None
    assert (batch.request_counts.total, batch.request_counts.completed, batch.request_counts.failed) == (3, 3, 0)
    assert batch.output_file_id is not None
    results = [json.loads(one) for one in client.files.content(batch.output_file_id).text.splitlines()]
    answers = {one["custom_id"]: one["response"]["body"]["choices"][0]["message"]["content"] for one in results}
    assert sorted(answers) == sorted(FACTS)
    assert all(word in answers[custom_id] for custom_id, (_, word) in FACTS.items())
    for one in (file.id, batch.output_file_id):
        assert client.files.delete(one).deleted
    assert [one.id for one in client.files.list()] == []
