"""An engine of another make, for real: `transformers serve` with the demo model, through Portico and OpenAI's SDK."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import openai
import pytest

from server.config import home
from server.engines.managed.install import find
from tests.conftest import lacking
from tests.live.conftest import CONTEXT_LENGTH, MODEL, START_S, client_of
from tests.live.service import Service, free_port, other_engine
from tests.live.wire import Wire

TEMPLATE = Path(__file__).with_name("gpt_oss.jinja")
CAPITAL: Any = [{"role": "user", "content": "What is the capital of France?"}]
PARIS = "The capital of France is Paris."
GREEDY: dict[str, Any] = {"model": MODEL, "temperature": 0, "max_tokens": 200}
WEATHER: Any = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Get the weather in a city",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}


@pytest.fixture(scope="module")
def transformers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """Its URL, and the folder of the model, which it wants by that name."""
    installed = find("cpu", home(), demo=True)
    if installed is None or installed.demo_model is None:
        lacking("the engine or its demo model is not installed: run `make engine`")
    folder = tmp_path_factory.mktemp("transformers")
    model = folder / "model"
    model.mkdir()
    for file in installed.demo_model.iterdir():
        (model / file.name).symlink_to(file)
    (model / "chat_template.jinja").write_text(TEMPLATE.read_text(encoding="utf-8"), encoding="utf-8")
    port = free_port()
    command = [
        *(str(installed.python), "-m", "transformers.cli.transformers", "serve", str(model)),
        *("--host", "127.0.0.1", "--port", str(port), "--device", "cpu", "--dtype", "float32"),
    ]
    root, log = f"http://127.0.0.1:{port}", folder / "log"
    with other_engine(command, {"HF_HUB_OFFLINE": "1"}, f"{root}/health", log, START_S):
        yield f"{root}/v1", model


@pytest.fixture(scope="module")
def behind(transformers: tuple[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    url, model = transformers
    engines = {"other": {"url": url, "make": "transformers"}}
    models = {MODEL: {"engines": ["other"], "engine_model": str(model), "context_length": CONTEXT_LENGTH}}
    service = Service({"engines": engines, "models": models}, tmp_path_factory.mktemp("gateway"))
    service.ready(60)
    yield service
    service.stop()


@pytest.fixture
def client(behind: Service, wire: Wire) -> Iterator[openai.OpenAI]:
    with client_of(behind, wire) as made:
        yield made


def ask(client: openai.OpenAI, messages: Any = CAPITAL, **options: Any) -> Any:
    return client.chat.completions.create(**{**GREEDY, "messages": messages, **options})


def test_a_whole_answer(client: openai.OpenAI) -> None:
    answer = ask(client)
    (choice,) = answer.choices
    assert choice.message.content == PARIS
    assert choice.message.reasoning == choice.message.reasoning_content
    assert choice.message.reasoning.startswith("The user asks for the capital of France.")
    assert (answer.model, choice.finish_reason) == (MODEL, "stop")
    assert answer.usage.prompt_tokens > 60
    assert answer.usage.completion_tokens > 10


def test_a_streamed_answer(client: openai.OpenAI) -> None:
    whole = ask(client)
    stream = ask(client, stream=True, stream_options={"include_usage": True})
    *parts, last = list(stream)
    deltas: list[Any] = [part.choices[0].delta for part in parts]
    assert "".join(delta.content or "" for delta in deltas) == PARIS
    assert "".join(getattr(delta, "reasoning", None) or "" for delta in deltas) == whole.choices[0].message.reasoning
    assert [part.choices[0].finish_reason for part in parts if part.choices[0].finish_reason] == ["stop"]
    assert last.usage is not None
    assert last.usage.completion_tokens == whole.usage.completion_tokens


@pytest.mark.parametrize("stream", [False, True])
def test_a_function_is_called_and_answered(client: openai.OpenAI, stream: bool) -> None:
    messages: list[Any] = [{"role": "user", "content": "What is the weather in Paris?"}]
    if stream:
        asked: Any = {**GREEDY, "messages": messages, "tools": [WEATHER]}
        with client.chat.completions.stream(**asked) as events:
            choice: Any = events.get_final_completion().choices[0]
    else:
        choice = ask(client, messages, tools=[WEATHER]).choices[0]
    assert choice.finish_reason == "tool_calls"
    (call,) = choice.message.tool_calls
    assert call.function.name == "get_weather"
    assert json.loads(call.function.arguments) == {"city": "Paris"}
    spoken = {"id": call.id, "type": "function", "function": {"name": "get_weather", "arguments": '{"city": "Paris"}'}}
    messages += [{"role": "assistant", "tool_calls": [spoken]}]
    messages += [{"role": "tool", "tool_call_id": call.id, "content": '{"temperature": 21, "condition": "sunny"}'}]
    answer = ask(client, messages, tools=[WEATHER])
    assert "Paris" in answer.choices[0].message.content


def test_a_cut_answer_and_a_stop_text(client: openai.OpenAI) -> None:
    cut = ask(client, max_tokens=4)
    assert cut.choices[0].finish_reason == "length"
    assert cut.usage.completion_tokens == 4
    stopped = ask(client, stop=" France")
    assert stopped.choices[0].message.content == "The capital of"
    assert stopped.usage.estimated is True


def test_what_it_cannot_do_is_refused_by_portico(client: openai.OpenAI) -> None:
    """It would ignore these without a word."""
    for name, value in (("n", 2), ("logprobs", True), ("response_format", {"type": "json_object"})):
        with pytest.raises(openai.BadRequestError) as caught:
            ask(client, **{name: value})
        assert caught.value.param == name
        assert "transformers serve" in caught.value.message


def test_a_raw_completion(client: openai.OpenAI) -> None:
    answer = client.completions.create(model=MODEL, prompt="Once upon a time", max_tokens=5)
    assert answer.object == "text_completion"
    assert answer.usage is not None
    assert 0 < answer.usage.completion_tokens <= 5


def test_what_is_worked_around_is_still_there(transformers: tuple[str, Path]) -> None:
    """No [DONE], the format in the content, fields that are ignored. Where one is mended, its table can be, too."""
    url, model = transformers
    body = {"model": str(model), "messages": CAPITAL, "temperature": 0, "max_tokens": 200}
    whole = httpx2.post(f"{url}/chat/completions", json=body | {"n": 2, "logprobs": True}, timeout=60).json()
    assert len(whole["choices"]) == 1
    content = whole["choices"][0]["message"]["content"]
    assert content.startswith("analysis")
    assert content.endswith(f"assistantfinal{PARIS}")
    stream = httpx2.post(f"{url}/chat/completions", json=body | {"stream": True}, timeout=60).text
    assert "[DONE]" not in stream
    refused = httpx2.post(f"{url}/chat/completions", json=body | {"top_k": 5}, timeout=60)
    assert refused.status_code == 422
    assert "top_k" in refused.json()["detail"]
