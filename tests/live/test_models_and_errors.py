"""Models, aliases, health, and the SDK's exception class for each refusal."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx2
import openai
import pytest

from tests.live.conftest import CONTEXT_LENGTH, MODEL, TOO_LONG, client_of
from tests.live.service import Service, wait_for
from tests.live.wire import Wire

HELLO: list[Any] = [{"role": "user", "content": "Hello"}]
ALIASES = {"gpt-oss-20b", "gpt-oss-120b", "gpt-4o-mini"}


def create(client: openai.OpenAI, **options: Any) -> Any:
    return client.chat.completions.create(**{"model": MODEL, "messages": HELLO, "max_tokens": 200, **options})


def test_models(client: openai.OpenAI) -> None:
    (model,) = client.models.list().data
    assert (model.id, model.object) == (MODEL, "model")
    extra = model.model_extra or {}
    assert set(extra["aliases"]) >= ALIASES
    assert extra["context_length"] == CONTEXT_LENGTH
    assert "demo" in extra["description"].lower()
    assert client.models.retrieve(MODEL) == model
    with pytest.raises(openai.NotFoundError) as caught:
        client.models.retrieve("gpt-none")
    assert caught.value.code == "model_not_found"


@pytest.mark.parametrize("alias", sorted(ALIASES))
def test_aliases_answer_as_the_model(client: openai.OpenAI, alias: str) -> None:
    assert client.models.retrieve(alias).id == MODEL
    assert create(client, model=alias).model == MODEL


def test_health_asks_for_no_key(service: Service) -> None:
    for path in ("/healthz", "/readyz"):
        answer = httpx2.get(service.root + path)
        assert (answer.status_code, answer.json()) == (200, {"status": "ok"})


def test_wrong_key(service: Service, wire: Wire) -> None:
    with client_of(service, wire, api_key="sk-wrong") as client, pytest.raises(openai.AuthenticationError) as caught:
        create(client)
    assert caught.value.code == "invalid_api_key"
    assert caught.value.request_id
    with client_of(service, wire, api_key="sk-wrong") as client, pytest.raises(openai.AuthenticationError):
        client.models.list()


def test_unknown_model(client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as caught:
        create(client, model="gpt-none")
    assert (caught.value.code, caught.value.param) == ("model_not_found", "model")


@pytest.mark.parametrize("stream", [False, True])
def test_prompt_longer_than_the_context(client: openai.OpenAI, stream: bool) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        create(client, messages=[{"role": "user", "content": TOO_LONG}], stream=stream)
    assert (caught.value.code, caught.value.param) == ("context_length_exceeded", "messages")
    assert str(CONTEXT_LENGTH) in caught.value.message


def test_answer_longer_than_the_context(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        create(client, max_tokens=CONTEXT_LENGTH + 1)
    assert (caught.value.code, caught.value.param) == ("context_length_exceeded", "max_tokens")


@pytest.mark.parametrize(
    ("field", "value", "code"),
    [
        ("temperature", 3, "invalid_value"),
        ("n", 0, "invalid_value"),
        ("n", "two", "invalid_type"),
        ("reasoning_effort", "huge", "invalid_value"),
        ("messages", [], "invalid_value"),
        ("priority", 1, "unknown_parameter"),
        ("kv_transfer_params", {}, "unknown_parameter"),
        ("ignore_eos", True, "unknown_parameter"),
        ("top_k", 1, "unknown_parameter"),
    ],
)
def test_refused_fields(client: openai.OpenAI, field: str, value: Any, code: str) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        create(client, extra_body={field: value})
    assert (caught.value.code, caught.value.param) == (code, field)


def test_images_are_refused(client: openai.OpenAI) -> None:
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
    with pytest.raises(openai.BadRequestError) as caught:
        create(client, messages=[{"role": "user", "content": [{"type": "text", "text": "Hello"}, image]}])
    assert (caught.value.code, caught.value.param) == ("unsupported_value", "messages[0].content[1].type")


def test_unknown_route(client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as caught:
        client.images.generate(model=MODEL, prompt="Hello")
    assert caught.value.code == "unknown_url"


def test_a_model_for_something_else(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        client.embeddings.create(model=MODEL, input="Hello")
    assert (caught.value.code, caught.value.param) == ("unsupported_value", "model")


def test_extra_fields_by_configuration(gateway: Callable[..., Service], wire: Wire) -> None:
    started = gateway(model={"extra_fields": ["top_k", "min_tokens"]})
    with client_of(started, wire) as client:
        answer = create(client, extra_body={"top_k": 1, "min_tokens": 60}, max_tokens=80)
    assert answer.usage.completion_tokens >= 60


def test_no_engine(gateway: Callable[..., Service], wire: Wire) -> None:
    """An engine that is not there: 503 with a hint when to come back, and not ready."""
    started = gateway()
    with client_of(started, wire) as client:
        create(client)
    unreachable = {"url": "http://127.0.0.1:9/v1", "health_path": "/health"}
    folder = started.log_path.parent / "without"
    folder.mkdir()
    models = {MODEL: {"engines": ["gone"]}}
    alone = Service({"engines": {"gone": unreachable}, "models": models}, folder)
    try:
        wait_for(lambda: answers(alone), 30, "the gateway answers")
        assert alone.get("/readyz").status_code == 503
        with client_of(alone, wire) as client, pytest.raises(openai.InternalServerError) as caught:
            create(client)
        assert (caught.value.status_code, caught.value.code) == (503, "engine_unavailable")
        assert int(caught.value.response.headers["retry-after"]) >= 1
    finally:
        alone.stop()


def answers(service: Service) -> bool:
    try:
        return service.get("/healthz").status_code == 200
    except httpx2.HTTPError:
        return False
