"""What is kept outlives the gateway, and the engine: after kill -9, after a clean end, amid all sorts of work."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from openai import OpenAI
from openai.types import Batch
from openai.types.responses import Response

from server.config import home
from server.engines.managed.install import find
from tests.conftest import lacking
from tests.live.conftest import MODEL, START_S, client_of, home_beside
from tests.live.service import Service, wait_for
from tests.live.test_responses import PARIS, WEATHER
from tests.live.wire import Wire

TURN: Any = {"model": MODEL, "max_output_tokens": 400, "temperature": 0}
NUMBERS = {
    "type": "object",
    "properties": {"n": {"type": "array", "items": {"type": "integer"}, "minItems": 3000}},
    "required": ["n"],
    "additionalProperties": False,
}
ENDLESS: Any = {"text": {"format": {"type": "json_schema", "name": "numbers", "schema": NUMBERS, "strict": True}}}
ENDLESS |= {"model": MODEL, "input": "Numbers, please.", "max_output_tokens": 7000}  # a minute of work
BATCH = {"batches": {"max_in_flight": 4}}
LINES = 40
AGAIN_S = 240  # a batch that was left is taken up after ten seconds; 40 lines take 20 s where nothing else runs

Start = Callable[..., Service]


@dataclass
class Begun:
    """A chain that waits for the result of a call, and a conversation of one turn."""

    asked: Response
    conversation: str
    turn: Response


def begin(client: OpenAI) -> Begun:
    asked = client.responses.create(input="What is the weather in Paris?", tools=[WEATHER], **TURN)
    assert asked.output[-1].type == "function_call"
    conversation = client.conversations.create(metadata={"topic": "capitals"}).id
    return Begun(asked, conversation, client.responses.create(input=PARIS, conversation=conversation, **TURN))


def go_on(client: OpenAI, begun: Begun) -> None:
    """Everything is as it was, and the model sees it."""
    assert client.responses.retrieve(begun.asked.id).to_dict() == begun.asked.to_dict()
    call = begun.asked.output[-1]
    assert call.type == "function_call"
    output = '{"temperature": 21, "sky": "sunny"}'
    result: Any = {"type": "function_call_output", "call_id": call.call_id, "output": output}
    told = client.responses.create(input=[result], previous_response_id=begun.asked.id, tools=[WEATHER], **TURN)
    assert "21" in told.output_text
    assert kinds(client, begun.conversation) == ["message", "reasoning", "message"]
    further = client.responses.create(input="And of Italy?", conversation=begun.conversation, **TURN)
    assert further.usage is not None
    assert begun.turn.usage is not None
    assert further.usage.input_tokens > begun.turn.usage.input_tokens
    assert kinds(client, begun.conversation) == ["message", "reasoning", "message"] * 2
    assert client.conversations.retrieve(begun.conversation).metadata == {"topic": "capitals"}


def kinds(client: OpenAI, conversation: str) -> list[str]:
    return [item.type for item in client.conversations.items.list(conversation, order="asc")]


def begin_batch(client: OpenAI) -> Batch:
    """And wait until some of its lines are done."""
    body = {"model": MODEL, "messages": [{"role": "user", "content": PARIS}], "temperature": 0, "max_tokens": 400}
    line = {"method": "POST", "url": "/v1/chat/completions", "body": body}
    lines = "".join(json.dumps({"custom_id": f"r{number}", **line}) + "\n" for number in range(LINES))
    file = client.files.create(file=("asked.jsonl", lines.encode()), purpose="batch")
    batch = client.batches.create(input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h")
    wait_for(lambda: done(client, batch.id) > 0, 120, "the first lines of the batch are done")
    return batch


def done(client: OpenAI, batch_id: str) -> int:
    counts = client.batches.retrieve(batch_id).request_counts
    return counts.completed if counts else 0


def finish_batch(client: OpenAI, batch_id: str) -> None:
    """Each line has one result."""
    wait_for(lambda: client.batches.retrieve(batch_id).status == "completed", AGAIN_S, "the batch is completed")
    batch = client.batches.retrieve(batch_id)
    assert batch.request_counts is not None
    assert (batch.request_counts.completed, batch.error_file_id) == (LINES, None)
    results = [json.loads(one) for one in client.files.content(batch.output_file_id or "").text.splitlines()]
    assert sorted(one["custom_id"] for one in results) == sorted(f"r{number}" for number in range(LINES))
    answers = {one["response"]["body"]["choices"][0]["message"]["content"] for one in results}
    assert all("Paris" in answer for answer in answers)


@pytest.mark.parametrize("end", [Service.kill, Service.stop], ids=["killed", "stopped"])
def test_a_chain_and_a_conversation_go_on(gateway: Start, wire: Wire, end: Callable[[Service], None]) -> None:
    service = gateway()
    with client_of(service, wire) as client:
        begun = begin(client)
    end(service)
    service.start()
    service.ready(30)
    with client_of(service, wire) as client:
        go_on(client, begun)


@pytest.mark.timeout(START_S + 2 * AGAIN_S)
def test_killed_in_the_midst_of_everything(gateway: Start, wire: Wire) -> None:
    """A turn that was cut is not there; what ran in the background has failed; a batch ends as if nothing had been."""
    service = gateway(**BATCH)
    with client_of(service, wire) as client:
        begun = begin(client)
        background = client.responses.create(background=True, **ENDLESS)
        stream = client.responses.create(conversation=begun.conversation, stream=True, **ENDLESS)
        assert next(event.delta for event in stream if event.type == "response.output_text.delta")
        batch = begin_batch(client)
        assert client.responses.retrieve(background.id).status == "in_progress"
        service.kill()
        assert done_at_most(wire, batch.id) < LINES, "it was in its midst"
    service.start()
    service.ready(30)
    with client_of(service, wire) as client:
        go_on(client, begun)
        finish_batch(client, batch.id)
        wait_for(lambda: client.responses.retrieve(background.id).status == "failed", 120, "it has failed")
        error = client.responses.retrieve(background.id).error
        assert error is not None
        assert "has stopped" in error.message


def done_at_most(wire: Wire, batch_id: str) -> int:
    """What was last told of it."""
    told = [json.loads(bytes(one.body)) for one in wire.exchanges if one.path.endswith(batch_id)]
    return told[-1]["request_counts"]["completed"]


@pytest.fixture
def whole(tmp_path: Path) -> Iterator[Service]:
    """A service with an engine of its own."""
    if find("cpu", home(), demo=False) is None:
        lacking("the engine is not installed: run `make engine`")
    managed = {"model": "demo", "device": "cpu", "port": 0}
    service = Service({"engines": {"local": {"managed": managed}}, **BATCH}, tmp_path, home_beside(tmp_path))
    service.ready(START_S)
    yield service
    if service.process.poll() is None:
        service.stop()


@pytest.mark.timeout(2 * START_S + AGAIN_S + 60)
def test_the_engine_is_another_one_too(whole: Service, wire: Wire) -> None:
    """As after a power cut: gateway and engine are killed amid a batch, and started again."""
    with client_of(whole, wire) as client:
        begun = begin(client)
        batch = begin_batch(client)
    before = whole.engine().key
    whole.kill()
    whole.start()
    whole.ready(START_S)
    assert whole.engine().key != before
    with client_of(whole, wire) as client:
        go_on(client, begun)
        finish_batch(client, batch.id)
