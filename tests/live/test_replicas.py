"""Two gateways on one PostgreSQL and one Redis, before the real engine: what one has, the other has at once."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from openai import OpenAI

from tests.live.conftest import MODEL, client_of
from tests.live.service import Engine, Service, wait_for
from tests.live.test_responses import PARIS
from tests.live.test_restart import ENDLESS, TURN, begin, go_on, kinds
from tests.live.wire import Wire
from tests.services.postgres import Postgres, running
from tests.services.redis import RedisServer, redis_server

__all__ = ["redis_server"]

KEY = "sk-test-live-of-both"
CANCELLED_S = 15  # the other one hears of it within 5 s


@pytest.fixture(scope="module")
def postgres() -> Iterator[Postgres]:
    with running() as server:
        yield server


@pytest.fixture
def clients(
    gateway: Callable[..., Service], wire: Wire, postgres: Postgres, redis_server: RedisServer, tmp_path: Path
) -> Iterator[tuple[OpenAI, OpenAI]]:
    """Of the one and of the other."""
    shared: dict[str, Any] = {
        "stores": {"durable": postgres.url(postgres.new_database()), "volatile": redis_server.url},
        "files": {"folder": str(tmp_path / "files")},
        "auth": {"static_keys": [{"name": "both", "key_sha256": hashlib.sha256(KEY.encode()).hexdigest()}]},
    }
    one, other = gateway(**shared), gateway(**shared)
    with client_of(one, wire, api_key=KEY) as first, client_of(other, wire, api_key=KEY) as second:
        yield first, second


def test_a_chain_and_a_conversation_go_on_at_the_other(clients: tuple[OpenAI, OpenAI]) -> None:
    one, other = clients
    go_on(other, begin(one))


def test_turns_at_one_and_the_other_in_turn(clients: tuple[OpenAI, OpenAI]) -> None:
    response = clients[0].responses.create(input=PARIS, **TURN)
    conversation = clients[0].conversations.create().id
    for turn in range(1, 7):
        here, there = clients[turn % 2], clients[(turn + 1) % 2]
        response = here.responses.create(input="And of Italy?", previous_response_id=response.id, **TURN)
        assert there.responses.retrieve(response.id).to_dict() == response.to_dict()
        here.conversations.items.create(
            conversation, items=[{"type": "message", "role": "user", "content": f"Turn {turn}."}]
        )
        assert kinds(there, conversation) == ["message"] * turn


def test_one_in_the_background_is_polled_read_and_cancelled_at_the_other(
    clients: tuple[OpenAI, OpenAI], idle_engine: Engine
) -> None:
    one, other = clients
    short = one.responses.create(background=True, input=PARIS, **TURN)
    wait_for(lambda: other.responses.retrieve(short.id).status == "completed", 60, "it is completed at the other")
    assert "Paris" in other.responses.retrieve(short.id).output_text
    events = [event.type for event in other.responses.retrieve(short.id, stream=True)]
    assert (events[0], events[-1]) == ("response.created", "response.completed")

    endless = one.responses.create(background=True, **ENDLESS)
    wait_for(lambda: other.responses.retrieve(endless.id).status == "in_progress", 30, "it runs")
    wait_for(lambda: idle_engine.busy == 1, 30, "the engine works for it")
    other.responses.cancel(endless.id)
    wait_for(lambda: idle_engine.busy == 0, CANCELLED_S, "the engine works for it no more")
    assert {client.responses.retrieve(endless.id).status for client in clients} == {"cancelled"}


def test_a_batch_is_seen_and_its_results_read_at_the_other(clients: tuple[OpenAI, OpenAI]) -> None:
    one, other = clients
    body = {"model": MODEL, "messages": [{"role": "user", "content": PARIS}], "temperature": 0, "max_tokens": 400}
    line = {"custom_id": "r", "method": "POST", "url": "/v1/chat/completions", "body": body}
    file = one.files.create(file=("asked.jsonl", json.dumps(line).encode()), purpose="batch")
    assert other.files.content(file.id).read() == json.dumps(line).encode()
    batch = one.batches.create(input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h")
    assert [found.id for found in other.batches.list()] == [batch.id]
    wait_for(lambda: other.batches.retrieve(batch.id).status == "completed", 60, "it is completed at the other")
    output = other.batches.retrieve(batch.id).output_file_id
    result = json.loads(other.files.content(output or "").text)
    assert (result["custom_id"], result["response"]["status_code"]) == ("r", 200)
    assert "Paris" in result["response"]["body"]["choices"][0]["message"]["content"]
