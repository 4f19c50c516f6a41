"""A model for embeddings and rerank on the real vLLM: the demo model, told to pool instead of to write."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx2
import openai
import pytest

from server.config import home
from server.engines.managed.install import find
from tests.conftest import lacking
from tests.live.conftest import MODEL, START_S, client_of
from tests.live.service import Service, free_port, other_engine, wait_for
from tests.live.wire import Wire
from tests.openai_schema import validator

CONTEXT = 512
KEY = "engine-key"
TEXTS = ["The capital of France is Paris.", "Paris is the capital of France!", "3 + 4 = 7"]


@pytest.fixture(scope="module")
def pooling(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Its URL."""
    installed = find("cpu", home(), demo=True)
    if installed is None or installed.demo_model is None:
        lacking("the engine or its demo model is not installed: run `make engine`")
    port = free_port()
    command = [
        *(str(installed.python), "-m", "vllm.entrypoints.openai.api_server", f"--model={installed.demo_model}"),
        *("--runner=pooling", "--convert=embed", "--served-model-name=pooled", f"--max-model-len={CONTEXT}"),
        *("--max-num-seqs=8", "--enforce-eager", "--scheduling-policy=priority", "--host=127.0.0.1", f"--port={port}"),
    ]
    environ = {
        "HF_HUB_OFFLINE": "1",
        "VLLM_NO_USAGE_STATS": "1",
        "VLLM_CPU_KVCACHE_SPACE": "1",
        "VLLM_CPU_OMP_THREADS_BIND": "nobind",
        "VLLM_API_KEY": KEY,
    }
    root = f"http://127.0.0.1:{port}"
    with other_engine(command, environ, f"{root}/health", tmp_path_factory.mktemp("pooling") / "log", START_S):
        yield f"{root}/v1"


@pytest.fixture(scope="module")
def behind(pooling: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    engines = {"pooling": {"url": pooling, "api_key": KEY, "vllm": True}}
    models = {
        MODEL: {
            "engines": ["pooling"],
            "engine_model": "pooled",
            "serves": ["embeddings", "rerank"],
            "context_length": CONTEXT,
        }
    }
    service = Service({"engines": engines, "models": models}, tmp_path_factory.mktemp("gateway"))
    service.ready(60)
    yield service
    service.stop()


@pytest.fixture
def client(behind: Service, wire: Wire) -> Iterator[openai.OpenAI]:
    with client_of(behind, wire) as made:
        yield made


def post(service: Service, path: str, **body: Any) -> httpx2.Response:
    headers = {"authorization": f"Bearer {service.key}"}
    return httpx2.post(f"{service.root}{path}", json={"model": MODEL} | body, headers=headers, timeout=60)


def cosine(one: list[float], other: list[float]) -> float:
    """Of vectors of length 1, which vLLM makes them."""
    return sum(a * b for a, b in zip(one, other, strict=True))


def test_base64_and_floats_are_the_same_vectors(client: openai.OpenAI) -> None:
    answer = client.embeddings.create(model=MODEL, input=TEXTS)  # the SDK asks for base64
    plain = client.embeddings.create(model=MODEL, input=TEXTS, encoding_format="float")
    assert (answer.model, answer.object) == (MODEL, "list")
    assert [one.index for one in answer.data] == [0, 1, 2]
    assert {len(one.embedding) for one in answer.data} == {128}
    for one, other in zip(answer.data, plain.data, strict=True):
        assert cosine(one.embedding, other.embedding) == pytest.approx(1, abs=0.01)
    assert answer.usage == plain.usage
    assert answer.usage.prompt_tokens > 10


def test_what_is_alike_is_near(client: openai.OpenAI) -> None:
    one, alike, other = [item.embedding for item in client.embeddings.create(model=MODEL, input=TEXTS).data]
    assert cosine(one, one) == pytest.approx(1, abs=0.01)
    assert cosine(one, alike) > cosine(one, other)


def test_the_shape(behind: Service) -> None:
    answer = post(behind, "/v1/embeddings", input="hello")
    validator("CreateEmbeddingResponse")(answer.json())
    assert sorted(answer.json()) == ["data", "model", "object", "usage"]
    assert len(post(behind, "/v1/embeddings", input=[[13225, 2375], [11]]).json()["data"]) == 2


def test_many_inputs_come_as_they_are_made(behind: Service) -> None:
    """A long answer leaves in pieces, with the usage of all of it at its end."""
    before = behind.metric("portico_tokens_total", kind="prompt")
    answer = post(behind, "/v1/embeddings", input=["hello"] * 300)
    assert "content-length" not in answer.headers
    body = answer.json()
    assert [one["index"] for one in body["data"]] == list(range(300))
    used = body["usage"]["prompt_tokens"]
    assert used >= 300
    wait_for(lambda: behind.metric("portico_tokens_total", kind="prompt") >= before + used, 15, "they are counted")


def test_rerank(behind: Service) -> None:
    documents = [TEXTS[2], TEXTS[1]]
    whole = post(behind, "/v1/rerank", query=TEXTS[0], documents=documents).json()
    assert [one["index"] for one in whole["results"]] == [1, 0]
    assert [one["document"]["text"] for one in whole["results"]] == [documents[1], documents[0]]
    assert whole["results"][0]["relevance_score"] > whole["results"][1]["relevance_score"]
    assert whole["model"] == MODEL
    assert whole["usage"]["prompt_tokens"] > 10
    best = post(behind, "/v1/rerank", query=TEXTS[0], documents=documents, top_n=1, return_documents=False).json()
    assert [(one["index"], "document" in one) for one in best["results"]] == [(1, False)]


def test_errors(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        client.embeddings.create(model=MODEL, input="word " * 600)
    assert (caught.value.code, caught.value.param) == ("context_length_exceeded", "input")
    with pytest.raises(openai.BadRequestError) as caught:
        client.embeddings.create(model=MODEL, input="hello", dimensions=16)  # the demo model cannot be cut
    assert "Matryoshka" in caught.value.message
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": "hello"}])
    assert (caught.value.code, caught.value.param) == ("unsupported_value", "model")
