"""POST /v1/embeddings: OpenAI's shape, and the pipeline of every other call."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from time import time
from typing import Any

import openai
import pytest
from openai import AsyncOpenAI

from server.auth.issue import issue_admin_key
from server.auth.secrets import tag_key
from server.openai.pooling_answer import MOST_HELD
from server.openai.pooling_request import MOST_INPUTS, MOST_TOKEN_IDS
from tests.behaviour.batches import created, names, results, until
from tests.behaviour.engine_double import EngineDouble, Exchange, breaks, error
from tests.behaviour.pooling import E5, EMBEDDINGS, MODELS, PROMPT_TOKENS, RANKER, vectors
from tests.behaviour.serving import CHAT, COMPLETIONS, KEY, MESSAGES, MODEL, Gate, eventually, portico
from tests.behaviour.tenants import ACTOR, Tenants
from tests.behaviour.test_usage import recorded
from tests.behaviour.wire import Reply, Wire
from tests.openai_schema import validator

TEXTS = ["one", "seven", "twelve"]


def engine_of(**more: Any) -> EngineDouble:
    engine = EngineDouble()
    engine.always = vectors(**more)
    return engine


async def embed(gate: Gate, key: str = KEY, **body: Any) -> Reply:
    return await gate.request("POST", EMBEDDINGS, {"model": E5, "input": "hello"} | body, key)


# What is asked and answered


async def test_floats() -> None:
    async with engine_of() as engine, portico(engine, models=MODELS) as gate:
        reply = await embed(gate, input=TEXTS, encoding_format="float", dimensions=2, user="u1")
        assert reply.status == 200
        validator("CreateEmbeddingResponse")(reply.json)
        validator("CreateEmbeddingRequest")({"model": E5, "input": TEXTS, "dimensions": 2, "user": "u1"})
        assert reply.json == {
            "object": "list",
            "model": E5,
            "data": [
                {"index": index, "object": "embedding", "embedding": [len(text), 0.125]}
                for index, text in enumerate(TEXTS)
            ],
            "usage": {"prompt_tokens": PROMPT_TOKENS, "total_tokens": PROMPT_TOKENS},
        }
        assert reply.headers["content-type"] == "application/json"
        assert reply.headers["content-length"] == str(len(reply.body))
        (call,) = engine.calls
        assert call.path == EMBEDDINGS
        assert call.json == {
            "model": "/weights/e5", "input": TEXTS, "dimensions": 2, "encoding_format": "float",
        }  # fmt: skip


async def test_the_sdk_which_asks_for_base64() -> None:
    async with engine_of() as engine, portico(engine, models=MODELS) as gate, gate.sdk() as client:
        answer = await client.embeddings.create(model=E5, input=TEXTS)
        assert engine.calls[-1].json["encoding_format"] == "base64"
        assert [one.embedding for one in answer.data] == [[len(text), 0.125, 0.125, 0.125] for text in TEXTS]
        assert (answer.model, answer.usage.prompt_tokens) == (E5, PROMPT_TOKENS)
        plain = await client.embeddings.create(model=E5, input="seven", encoding_format="float")
        assert plain.data[0].embedding == answer.data[1].embedding


@pytest.mark.parametrize("ids", [[5, 6, 7], [[5, 6], [7]]])
async def test_token_ids(ids: Any) -> None:
    async with engine_of() as engine, portico(engine, models=MODELS) as gate:
        assert len((await embed(gate, input=ids)).json["data"]) == (1 if ids == [5, 6, 7] else 2)
        assert engine.calls[-1].json["input"] == ids


@pytest.mark.parametrize(
    ("param", "body"),
    [
        ("input", {"input": ""}),
        ("input", {"input": []}),
        ("input", {"input": None}),
        ("input", {"input": {"text": "canary"}}),
        ("input[1]", {"input": ["a", ""]}),
        ("input[1]", {"input": ["canary", 5]}),
        ("input[2]", {"input": [5, 6, "canary"]}),
        ("input[1]", {"input": [[5], []]}),
        ("input[0]", {"input": [True]}),
        ("input[0]", {"input": [-1]}),
        ("input[0][0]", {"input": [[1.5]]}),
        ("input", {"input": ["a"] * (MOST_INPUTS + 1)}),
        ("input", {"input": [5] * 513}),
        ("input[1]", {"input": [[5], [6] * 513]}),
        ("input", {"input": [[5] * 200] * (MOST_TOKEN_IDS // 200 + 1)}),
        ("dimensions", {"dimensions": 0}),
        ("dimensions", {"dimensions": "canary"}),
        ("encoding_format", {"encoding_format": "canary"}),
        ("user", {"user": 5}),
        ("truncate_prompt_tokens", {"truncate_prompt_tokens": 5}),
        ("priority", {"priority": 0}),
        ("cache_salt", {"cache_salt": "canary"}),
        ("messages", {"messages": MESSAGES}),
        ("stream", {"stream": True}),
        ("model", {"model": "canary"}),
        ("model", {"model": ""}),
    ],
)
async def test_what_is_refused(param: str, body: dict[str, Any]) -> None:
    async with engine_of() as engine, portico(engine, models=MODELS) as gate:
        reply = await embed(gate, **body)
        assert reply.status in (400, 404)
        assert reply.error["param"] == param
        assert reply.error["type"] == "invalid_request_error"
        assert b"canary" not in reply.body
        assert not engine.calls


async def test_null_is_absent() -> None:
    async with engine_of() as engine, portico(engine, models=MODELS) as gate:
        assert (await embed(gate, dimensions=None, encoding_format=None, user=None)).status == 200
        assert engine.calls[-1].json == {"model": "/weights/e5", "input": "hello"}


async def test_what_only_the_gateway_sets() -> None:
    async with engine_of() as engine, portico(engine, models=MODELS, engine={"vllm": True}) as gate:
        await embed(gate)
        assert engine.calls[-1].json["priority"] == 1
        assert engine.calls[-1].json["cache_salt"]


async def test_get_is_no_method_of_it() -> None:
    async with engine_of() as engine, portico(engine, models=MODELS) as gate:
        reply = await gate.request("GET", EMBEDDINGS)
        assert (reply.status, reply.headers["allow"]) == (405, "POST")


# What a model is for


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (CHAT, {"messages": MESSAGES}),
        (COMPLETIONS, {"prompt": "Once"}),
        ("/v1/responses", {"input": "hello"}),
        ("/v1/responses/input_tokens", {"input": "hello"}),
        ("/v1/rerank", {"query": "q", "documents": ["d"]}),
    ],
)
async def test_a_model_for_embeddings_serves_nothing_else(path: str, body: dict[str, Any]) -> None:
    async with engine_of() as engine, portico(engine, models=MODELS) as gate:
        reply = await gate.request("POST", path, {"model": E5} | body)
        assert (reply.status, reply.error["code"], reply.error["param"]) == (400, "unsupported_value", "model")
        message = reply.error["message"]
        assert message.startswith("The model 'e5' serves embeddings (POST /v1/embeddings), not ")
        assert message.endswith(f": {RANKER}." if path == "/v1/rerank" else f": {MODEL}.")
        assert not engine.calls


async def test_in_anthropics_shape_too() -> None:
    async with engine_of() as engine, portico(engine, models=MODELS) as gate:
        body = {"model": E5, "max_tokens": 5, "messages": MESSAGES}
        reply = await gate.request("POST", "/v1/messages", body)
        assert (reply.status, reply.json["error"]["type"]) == (400, "invalid_request_error")
        assert "serves embeddings" in reply.json["error"]["message"]


@pytest.mark.parametrize("model", [MODEL, RANKER])
async def test_other_models_serve_no_embeddings(model: str) -> None:
    async with engine_of() as engine, portico(engine, models=MODELS) as gate:
        reply = await embed(gate, model=model)
        assert (reply.status, reply.error["param"]) == (400, "model")
        assert reply.error["message"].endswith(", not embeddings. Models for embeddings: e5.")


async def test_the_way_out_names_only_what_the_key_may_use() -> None:
    async with engine_of() as engine, portico(engine, models=MODELS) as gate:
        secret, _ = await Tenants(gate).key(models=(MODEL,))
        assert (await embed(gate, secret, model=MODEL)).error["message"].endswith("Models for embeddings: none.")
        assert (await embed(gate, secret)).error["code"] == "permission_denied"


async def test_models_say_what_they_serve() -> None:
    async with engine_of() as engine, portico(engine, models=MODELS) as gate:
        listed = (await gate.request("GET", "/v1/models")).json["data"]
        assert {one["id"]: one["serves"] for one in listed} == {
            MODEL: ["chat"], E5: ["embeddings"], RANKER: ["rerank"],
        }  # fmt: skip
        assert (await gate.request("GET", "/readyz")).status == 200


async def test_endpoints_of_a_key() -> None:
    async with engine_of() as engine, portico(engine, models=MODELS) as gate:
        tenants = Tenants(gate)
        only, _ = await tenants.key(endpoints=("embeddings",))
        other, _ = await tenants.key(endpoints=("chat.completions",))
        assert (await embed(gate, only)).status == 200
        assert (await embed(gate, other)).error["code"] == "permission_denied"
        assert (await gate.request("POST", CHAT, {"model": MODEL, "messages": MESSAGES}, only)).status == 403


# Long answers, and engines that fail


async def test_a_long_answer_passes_as_it_comes() -> None:
    """A client that does not read holds up the engine; what it reads is whole."""
    async with engine_of(dimensions=4096) as engine, portico(engine, models=MODELS) as gate:
        body = {"model": E5, "input": ["x"] * 512}
        async with Wire(gate.port, receive_buffer=16_384) as wire:
            await wire.request("POST", EMBEDDINGS, body)
            await eventually(lambda: engine.paused)
            assert await wire.head() == 200
            assert wire.headers["transfer-encoding"] == "chunked"
            assert wire.headers["content-type"] == "application/json"
            parts = [part async for part in wire.parts()]
        assert len(parts) > 20
        answer = json.loads(b"".join(parts))
        assert len(b"".join(parts)) > 10 * 2**20
        assert [one["index"] for one in answer["data"]] == list(range(512))
        assert all(one["embedding"] == [1, *[0.125] * 4095] for one in answer["data"])
        assert (answer["model"], answer["usage"]["prompt_tokens"]) == (E5, PROMPT_TOKENS)
        await eventually(lambda: gate.metric("portico_tokens_total", model=E5, kind="prompt") == PROMPT_TOKENS)


def cut_off_after(size: int) -> Any:
    async def script(exchange: Exchange) -> None:
        await exchange.head(kind="application/json")
        await exchange.part(b'{"object":"list","data":[')
        await exchange.part(b'{"index":0,"object":"embedding","embedding":[0.5' + b",0.5" * (size // 4))
        await asyncio.sleep(0.05)
        exchange.reset()

    return script


async def test_what_breaks_off_early_goes_to_another_engine() -> None:
    models = {E5: {"engines": ["one", "two"], "serves": ["embeddings"]}}
    async with engine_of() as one, engine_of() as two, portico(one, two, models=models) as gate:
        for engine in (one, two):
            engine.plan(cut_off_after(MOST_HELD // 2))
            assert (await embed(gate)).status == 200
            engine.plan(error(500))
            assert (await embed(gate)).status == 200
            engine._plan.clear()
        assert gate.total("portico_engine_retries_total") >= 2
        assert gate.metric("portico_requests_total", model=E5, endpoint="embeddings", outcome="ok") == 4


async def test_what_breaks_off_late_is_cut() -> None:
    """A client must not take it for a whole answer."""
    async with engine_of() as engine, portico(engine, models=MODELS) as gate:
        engine.plan(cut_off_after(4 * MOST_HELD))
        async with Wire(gate.port) as wire:
            await wire.request("POST", EMBEDDINGS, {"model": E5, "input": "x"})
            assert await wire.head() == 200
            with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
                [part async for part in wire.parts()]
        await eventually(
            lambda: gate.metric("portico_requests_total", model=E5, endpoint="embeddings", outcome="engine_error")
        )


@pytest.mark.parametrize("body", [b"{}", b"[]", b"nonsense", b'{"data": [', b'{"data":[{"index":0,"embedding":[1]}'])
async def test_nonsense_of_an_engine(body: bytes) -> None:
    async with engine_of() as engine, portico(engine, models=MODELS) as gate:

        async def script(exchange: Exchange) -> None:
            await exchange.whole(200, body)

        engine.plan(script, script)
        reply = await embed(gate)
        assert (reply.status, reply.error["code"]) == (502, "engine_error")


async def test_an_input_that_is_too_long() -> None:
    said = (
        "This model's maximum context length is 512 tokens. However, your prompt contains at least 513 input tokens, "
        "which exceeds this limit even without any output tokens. Please reduce the length of the input prompt."
    )
    async with engine_of() as engine, portico(engine, models=MODELS) as gate:
        engine.plan(error(400, said))
        refused = (await embed(gate)).error
        assert (refused["code"], refused["param"]) == ("context_length_exceeded", "input")
        assert "512 tokens for each of 'input'. One of yours has 513." in refused["message"]


async def test_an_engine_without_the_route() -> None:
    async with engine_of() as engine, portico(engine, models=MODELS) as gate:
        engine.plan(error(404, body=b'{"detail":"Not Found"}'), error(404, body=b'{"detail":"Not Found"}'))
        refused = (await embed(gate)).error
        assert refused["code"] == "engine_error" and "models.*.serves" in refused["message"]


async def test_no_engine_is_up() -> None:
    async with engine_of() as engine, portico(engine, models=MODELS) as gate:
        engine.plan(breaks(), breaks())
        await engine.stop()
        reply = await embed(gate)
        assert (reply.status, reply.error["code"]) == (503, "engine_unavailable")


async def test_a_client_that_leaves_ends_the_work() -> None:
    async with engine_of() as engine, portico(engine, models=MODELS) as gate:

        async def script(exchange: Exchange) -> None:
            await exchange.hang()

        engine.plan(script)
        async with Wire(gate.port) as wire:
            await wire.request("POST", EMBEDDINGS, {"model": E5, "input": "x"})
            await eventually(lambda: engine.calls)
        await asyncio.wait_for(engine.calls[0].left.wait(), 5)
        await eventually(lambda: not gate.parts.gateway.trips)


# Engines of other makes


@pytest.mark.parametrize(
    ("make", "param", "body"),
    [
        ("lmstudio", "dimensions", {"dimensions": 2}),
        ("lmstudio", "input", {"input": [5, 6]}),
        ("llamacpp", "dimensions", {"dimensions": 2}),
        ("ollama", "input", {"input": [[5], [6]]}),
    ],
)
async def test_what_a_make_does_not_do(make: str, param: str, body: dict[str, Any]) -> None:
    models = {E5: {"engines": ["one"], "serves": ["embeddings"]}}
    async with engine_of() as engine, portico(engine, models=models, makes=[make]) as gate:
        refused = (await embed(gate, **body)).error
        assert (refused["code"], refused["param"]) == ("unsupported_value", param)
        assert not engine.calls
        assert (await embed(gate)).status == 200


@pytest.mark.parametrize("make", ["sglang", "lmstudio", "ollama", "llamacpp"])
async def test_base64_of_a_make_that_knows_numbers_only(make: str) -> None:
    """LM Studio takes no notice of `encoding_format`, and writes its answers with indentation."""

    async def numbers(exchange: Exchange) -> None:
        data = [{"object": "embedding", "index": 0, "embedding": [5.0, 0.125]}]
        answer = {"object": "list", "data": data, "model": "x", "usage": {"prompt_tokens": 3, "total_tokens": 3}}
        await exchange.whole(200, json.dumps(answer, indent=2).encode())

    models = {E5: {"engines": ["one"], "serves": ["embeddings"]}}
    async with engine_of() as engine, portico(engine, models=models, makes=[make]) as gate, gate.sdk() as client:
        engine.always = numbers
        encoded = (await embed(gate, encoding_format="base64")).json
        assert isinstance(encoded["data"][0]["embedding"], str)
        validator("CreateEmbeddingResponse")((await embed(gate)).json)
        answer = await client.embeddings.create(model=E5, input="seven")
        assert (answer.data[0].embedding, answer.usage.prompt_tokens) == ([5.0, 0.125], 3)


# Limits, usage, money


async def test_a_bound_is_taken_and_settled_to_what_was_used() -> None:
    async with engine_of() as engine, portico(engine, models=MODELS) as gate:
        secret = await Tenants(gate).limited(tokens_per_minute=1000)
        first = await embed(gate, secret, input="x" * 400)
        assert first.headers["x-ratelimit-remaining-tokens"] == str(1000 - PROMPT_TOKENS)
        assert (await embed(gate, secret, input="x" * 900)).status == 200
        refused = await embed(gate, secret, input="x" * 1000)
        assert (refused.status, refused.error["code"]) == (429, "rate_limit_exceeded")
        assert len(engine.calls) == 2
        assert gate.metric("portico_limited_total", limit="tokens_per_minute") == 1


async def test_requests_per_minute() -> None:
    async with engine_of() as engine, portico(engine, models=MODELS) as gate:
        secret = await Tenants(gate).limited(requests_per_minute=1)
        assert [(await embed(gate, secret)).status for _ in range(2)] == [200, 429]


async def test_usage_and_prices() -> None:
    models = MODELS | {E5: MODELS[E5] | {"price": {"input": 3, "output": 1000}}}
    async with engine_of() as engine, portico(engine, models=models) as gate:
        tenants = Tenants(gate)
        secret, record = await tenants.key()
        await embed(gate, secret)
        await embed(gate, secret)
        engine.always = None
        await gate.request("POST", CHAT, {"model": MODEL, "messages": MESSAGES}, secret)
        found = {one.model: one for one in await recorded(gate, 3)}
        assert (found[E5].prompt, found[E5].completion, found[E5].cost) == (2 * PROMPT_TOKENS, 0, 6 * PROMPT_TOKENS)
        admin, admin_secret = issue_admin_key(tag_key(gate.server_secret), int(time()), "ops")
        await tenants.store.create_admin_key(admin, ACTOR)
        since = int(time()) - 3600
        async with AsyncOpenAI(base_url=gate.url, api_key="-", admin_api_key=admin_secret, max_retries=0) as client:
            usage = client.admin.organization.usage
            page = await usage.embeddings(start_time=since, group_by=["model", "api_key_id"])
            ((one,),) = [bucket.results for bucket in page.data if bucket.results]
            validator("UsageEmbeddingsResult")(one.model_dump())
            assert (one.model, one.api_key_id) == (E5, record.id)  # type: ignore[union-attr]
            assert (one.input_tokens, one.num_model_requests) == (2 * PROMPT_TOKENS, 2)  # type: ignore[union-attr]
            others = await usage.embeddings(start_time=since, models=[MODEL])
            assert not any(bucket.results for bucket in others.data)
            written = await usage.completions(start_time=since, group_by=["model"])
            assert [row.model for bucket in written.data for row in bucket.results] == [MODEL]  # type: ignore[union-attr]


async def test_what_the_engine_does_not_count_is_estimated() -> None:
    async with engine_of(usage=None) as engine, portico(engine, models=MODELS) as gate:
        usage = (await embed(gate, input="x" * 400)).json["usage"]
        assert usage["estimated"] is True
        assert 100 <= usage["prompt_tokens"] <= 120
        assert gate.metric("portico_estimated_usage_total", model=E5) == 1


async def test_metrics_and_the_log_line() -> None:
    async with engine_of() as engine, portico(engine, models=MODELS) as gate:
        await embed(gate, input=["the secret canary"])
        assert gate.metric("portico_requests_total", model=E5, endpoint="embeddings", outcome="ok") == 1
        assert gate.metric("portico_tokens_total", model=E5, kind="prompt") == PROMPT_TOKENS
        assert gate.metric("portico_tokens_total", model=E5, kind="completion") == 0
        assert gate.metric("portico_null_answers_total", model=E5) == 0
        assert gate.metric("portico_engine_time_seconds_count", model=E5) == 1
        (line,) = gate.log_lines()
        assert (line["endpoint"], line["model"], line["status"]) == ("embeddings", E5, 200)
        assert (line["prompt_tokens"], line["completion_tokens"], line["stream"]) == (PROMPT_TOKENS, 0, False)
        assert "canary" not in gate.log_text()


async def test_fairness_counts_the_prompt() -> None:
    async with engine_of() as engine, portico(engine, models=MODELS, engine={"max_in_flight": 1}) as gate:
        await embed(gate)
        await eventually(lambda: gate.total("portico_project_share_tokens_total") == PROMPT_TOKENS)


# Moderation


def house(tmp_path: Path) -> dict[str, Any]:
    policy = tmp_path / "house.yaml"
    policy.write_text(
        "name: h\nversion: 1\nrules:\n"
        "  - {id: r, category: own, literals: [project lantern], action: block}\n"
        "  - {id: mail, category: own, detectors: [email], action: redact, replacement: '<mail>'}\n"
    )
    return {"policy": str(policy)}


async def test_every_input_is_looked_at(tmp_path: Path) -> None:
    async with engine_of() as engine, portico(engine, models=MODELS, moderation=house(tmp_path)) as gate:
        for at, inputs in ((2, ["a", "b", "my project lantern"]), (1500, ["a"] * 1500 + ["Project  Lantern"])):
            refused = (await embed(gate, input=inputs)).error
            assert (refused["code"], refused["param"]) == ("content_filter", f"input[{at}]")
        assert (await embed(gate, input="project lantern")).error["param"] == "input"
        assert not engine.calls
        assert gate.total("portico_moderation_decisions_total", action="block", direction="input") == 3


async def test_private_data_is_taken_out(tmp_path: Path) -> None:
    async with engine_of() as engine, portico(engine, models=MODELS, moderation=house(tmp_path)) as gate:
        assert (await embed(gate, input=["fine", "write to ana@example.com"])).status == 200
        assert engine.calls[-1].json["input"] == ["fine", "write to <mail>"]
        assert (await embed(gate, input="ana@example.com")).status == 200
        assert engine.calls[-1].json["input"] == "<mail>"


async def test_inputs_are_texts_of_their_own(tmp_path: Path) -> None:
    """Two documents one after the other are no sentence."""
    async with engine_of() as engine, portico(engine, models=MODELS, moderation=house(tmp_path)) as gate:
        assert (await embed(gate, input=["our project", "lantern of the street"])).status == 200


async def test_token_ids_cannot_be_looked_at(tmp_path: Path) -> None:
    async with engine_of() as engine, portico(engine, models=MODELS, moderation=house(tmp_path)) as gate:
        for ids in ([5, 6], [[5], [6]]):
            refused = (await embed(gate, input=ids)).error
            assert (refused["code"], refused["param"]) == ("unsupported_value", "input")
        assert not engine.calls


# Batches


async def test_lines_of_batches() -> None:
    async with engine_of() as engine, portico(engine, models=MODELS) as gate, gate.sdk() as client:
        lines = [
            {
                "custom_id": f"r{at}",
                "method": "POST",
                "url": EMBEDDINGS,
                "body": {"model": E5, "input": [f"t{at}"] * at},
            }
            for at in (1, 2, 3)
        ]
        batch = await until(client, (await created(client, lines, EMBEDDINGS)).id, "completed")
        assert batch.usage and batch.usage.input_tokens == 3 * PROMPT_TOKENS
        assert batch.model == E5
        found = await results(client, batch.output_file_id)
        assert names(found) == ["r1", "r2", "r3"]
        for one in found:
            validator("CreateEmbeddingResponse")(one["response"]["body"])
            assert len(one["response"]["body"]["data"]) == int(one["custom_id"][1])


async def test_a_batch_with_a_bad_line_is_refused() -> None:
    async with engine_of() as engine, portico(engine, models=MODELS) as gate, gate.sdk() as client:
        lines = [
            {"custom_id": "a", "method": "POST", "url": EMBEDDINGS, "body": {"model": E5, "input": ["x", ""]}},
            {"custom_id": "b", "method": "POST", "url": EMBEDDINGS, "body": {"model": MODEL, "input": "x"}},
        ]
        batch = await until(client, (await created(client, lines, EMBEDDINGS)).id, "failed")
        assert batch.errors and batch.errors.data
        assert [(one.line, one.param) for one in batch.errors.data] == [(1, "body.input[1]"), (2, "body.model")]
        assert not engine.calls


async def test_a_line_with_too_long_an_answer() -> None:
    """It is refused, and not asked for again; the others are not concerned."""
    async with engine_of(dimensions=12_000) as engine, portico(engine, models=MODELS) as gate, gate.sdk() as client:
        lines = [
            {"custom_id": name, "method": "POST", "url": EMBEDDINGS, "body": {"model": E5, "input": ["x"] * number}}
            for name, number in (("long", 300), ("short", 1))
        ]
        batch = await until(client, (await created(client, lines, EMBEDDINGS)).id, "completed")
        assert names(await results(client, batch.output_file_id)) == ["short"]
        (one,) = await results(client, batch.error_file_id)
        assert (one["custom_id"], one["response"]["body"]["error"]["param"]) == ("long", "input")
        assert len(engine.calls) == 2


async def test_the_sdk_sees_refusals() -> None:
    async with engine_of() as engine, portico(engine, models=MODELS) as gate, gate.sdk() as client:
        with pytest.raises(openai.BadRequestError) as caught:
            await client.embeddings.create(model=MODEL, input="x")
        assert caught.value.param == "model"
