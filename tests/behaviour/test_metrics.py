"""Every outcome is counted once, and what is open is seen as open."""

from __future__ import annotations

import asyncio
import hashlib
from pathlib import Path
from typing import Any

import pytest

from tests.behaviour.engine_double import EngineDouble, answer, breaks, error, hang
from tests.behaviour.serving import CHAT, MESSAGES, MODEL, eventually, portico
from tests.behaviour.vllm import Reply

CHATS = {"model": MODEL, "endpoint": "chat.completions"}


@pytest.mark.parametrize("stream", [True, False])
async def test_a_good_call(stream: bool) -> None:
    async with EngineDouble() as engine, portico(engine) as gate:
        engine.plan(answer(Reply(["a", "b", "c"], reasoning="hm hm", cached=100), delay_s=0.02))
        assert (await gate.chat(stream=stream)).status == 200
        ok = CHATS | {"outcome": "ok"}
        assert gate.metric("portico_requests_total", **ok) == 1
        assert gate.metric("portico_request_duration_seconds_count", **ok) == 1
        assert 0.02 < gate.metric("portico_request_duration_seconds_sum", **ok) < 1
        assert gate.metric("portico_time_to_first_token_seconds_count", model=MODEL) == stream
        assert gate.metric("portico_inter_token_latency_seconds_count", model=MODEL) == (4 if stream else 0)
        if stream:
            assert 0.06 < gate.metric("portico_inter_token_latency_seconds_sum", model=MODEL) < 0.5
        for kind, count in {"prompt": 120, "completion": 5, "cached": 100, "reasoning": 2}.items():
            assert gate.metric("portico_tokens_total", model=MODEL, kind=kind) == count
        assert gate.metric("portico_gateway_overhead_seconds_count", endpoint="chat.completions") == 1
        assert 0 < gate.metric("portico_gateway_overhead_seconds_sum", endpoint="chat.completions") < 0.02
        assert gate.metric("portico_in_flight_requests", model=MODEL) == 0
        assert gate.metric("portico_engine_up", engine="one") == 1


@pytest.mark.parametrize(
    ("messages", "words", "counted"),
    [
        (MESSAGES, 3, 1),
        ([{"role": "system", "content": "s"}, {"role": "developer", "content": "d"}, *MESSAGES], 3, 1),
        (MESSAGES, 300, 0),
        ([*MESSAGES, {"role": "assistant", "content": "a"}, {"role": "user", "content": "u"}], 3, 0),
        ([{"role": "user", "content": "u"}, {"role": "user", "content": "u"}], 3, 0),
    ],
)
async def test_short_answers_of_one_turn_are_told_apart(messages: list[Any], words: int, counted: int) -> None:
    async with EngineDouble() as engine, portico(engine) as gate:
        for stream in (True, False):
            engine.plan(answer(Reply(["a "] * words)))
            assert (await gate.chat(messages=messages, stream=stream)).status == 200
        engine.plan(error(500))
        await gate.chat(messages=messages)
        await gate.complete()
        assert gate.metric("portico_short_answer_seconds_count", model=MODEL) == 2 * counted


async def test_every_outcome() -> None:
    async with EngineDouble() as engine, portico(engine) as gate:

        async def asked(outcome: str, model: str = MODEL) -> None:
            labels = {"model": model, "endpoint": "chat.completions", "outcome": outcome}
            assert gate.metric("portico_requests_total", **labels) == 1, outcome
            assert gate.metric("portico_request_duration_seconds_count", **labels) == 1
            assert gate.total("portico_in_flight_requests") == 0

        await gate.chat(n=99)
        await asked("invalid", "")
        await gate.request("POST", CHAT, {}, None)
        await asked("unauthorized", "")
        for outcome, script in (("engine_error", error(500)), ("engine_overloaded", error(429))):
            engine.plan(script)
            await gate.chat()
            await asked(outcome)
        engine.plan(error(400, "bad"))
        await gate.chat()
        await asked("invalid")
        await gate.complete()
        assert gate.metric("portico_requests_total", model=MODEL, endpoint="completions", outcome="ok") == 1
        assert gate.total("portico_requests_total") == 6


async def test_open_calls() -> None:
    async with EngineDouble() as engine, portico(engine) as gate:
        engine.always = hang(2)
        async with gate.opened(stream=True) as one, gate.opened(stream=True) as two:
            await asyncio.gather(one.head(), two.head())
            assert gate.metric("portico_in_flight_requests", model=MODEL) == 2


async def test_names_of_the_contract() -> None:
    names: dict[str, Any] = {
        "portico_requests_total": {"model", "endpoint", "outcome"},
        "portico_request_duration_seconds_count": {"model", "endpoint", "outcome"},
        "portico_time_to_first_token_seconds_count": {"model"},
        "portico_inter_token_latency_seconds_count": {"model"},
        "portico_gateway_overhead_seconds_count": {"endpoint"},
        "portico_queue_wait_seconds_count": {"class"},
        "portico_tokens_total": {"model", "kind"},
        "portico_in_flight_requests": {"model"},
        "portico_engine_up": {"engine"},
    }
    async with EngineDouble() as engine, portico(engine) as gate:
        await gate.chat(stream=True)
        gate.parts.metrics.flush()
        samples = [sample for family in gate._registry.collect() for sample in family.samples]
        for name, labels in names.items():
            found = [sample for sample in samples if sample.name == name]
            assert found, name
            assert all(set(sample.labels) == labels for sample in found), name


async def test_unknown_models_make_no_series() -> None:
    async with EngineDouble() as engine, portico(engine) as gate:
        for number in range(50):
            await gate.chat(model=f"model-{number}")
        assert "model-1" not in gate.exposition()


async def test_a_call_cut_by_the_engine() -> None:
    async with EngineDouble() as engine, portico(engine) as gate:
        engine.plan(breaks(4))
        await gate.chat(stream=True)
        assert gate.metric("portico_time_to_first_token_seconds_count", model=MODEL) == 1
        assert gate.metric("portico_requests_total", **CHATS, outcome="engine_error") == 1


def of_endpoint(outcome: str) -> dict[str, str]:
    return CHATS | {"outcome": outcome}


async def test_time_at_the_engine_and_per_token() -> None:
    async with EngineDouble() as engine, portico(engine) as gate:
        engine.plan(answer(Reply(["a", "b", "c", "d"]), delay_s=0.02))
        await gate.chat(stream=True)
        engine.plan(answer(Reply("a")), answer(Reply("a b c")))
        await gate.chat(stream=True)
        await gate.chat()
        assert gate.metric("portico_engine_time_seconds_count", model=MODEL) == 3
        assert gate.metric("portico_time_per_output_token_seconds_count", model=MODEL) == 1, "streams of several tokens"
        assert 0.015 < gate.metric("portico_time_per_output_token_seconds_sum", model=MODEL) < 0.5
        whole = gate.metric("portico_request_duration_seconds_sum", **of_endpoint("ok"))
        at_engine = gate.metric("portico_engine_time_seconds_sum", model=MODEL)
        overhead = gate.metric("portico_gateway_overhead_seconds_sum", endpoint="chat.completions")
        assert abs(whole - at_engine - overhead) < 1e-6, "all time is somebody's"


async def test_a_call_that_went_nowhere_was_not_at_the_engine() -> None:
    async with (
        EngineDouble() as engine,
        portico(engine, admission={"max_queue": 0}, engine={"max_in_flight": 1}) as gate,
    ):
        engine.always = hang(1)
        async with gate.opened(stream=True) as one:
            await one.head()
            assert (await gate.chat()).status == 429
            assert gate.metric("portico_engine_time_seconds_count", model=MODEL) == 0
            assert gate.metric("portico_engine_in_flight_requests", engine="one") == 1
        await eventually(lambda: gate.metric("portico_engine_time_seconds_count", model=MODEL) == 1)
        assert gate.metric("portico_engine_in_flight_requests", engine="one") == 0


async def test_clients_that_leave() -> None:
    def left(phase: str) -> float:
        return gate.metric("portico_client_disconnects_total", phase=phase)

    async with EngineDouble() as engine, portico(engine, engine={"max_in_flight": 1}) as gate:
        engine.plan(hang(2), hang())
        async with gate.opened(stream=True) as one, gate.opened(stream=True):
            await one.head()
            await eventually(lambda: gate.parts.gateway.admission.queued == 1)
        await eventually(lambda: left("queued") + left("streaming") == 2 or left("before_first_byte"))
        async with gate.opened():
            await eventually(lambda: len(engine.calls) == 2)
        await eventually(lambda: left("before_first_byte") == 1)
        assert [left(phase) for phase in ("queued", "before_first_byte", "streaming")] == [1, 1, 1]
        assert gate.total("portico_client_disconnects_total") == gate.metric(
            "portico_requests_total", **of_endpoint("client_gone")
        )


@pytest.mark.parametrize("stream", [True, False])
async def test_an_answer_that_says_nothing(stream: bool) -> None:
    async with EngineDouble() as engine, portico(engine) as gate:
        engine.plan(answer(Reply([""] * 5)), answer(Reply([], reasoning="hm")), answer("a"))
        for _ in range(3):
            await gate.chat(stream=stream)
        assert gate.metric("portico_null_answers_total", model=MODEL) == 1


async def test_hidden_reasoning_is_no_null_answer() -> None:
    async with EngineDouble() as engine, portico(engine, model={"reasoning": "hidden"}) as gate:
        engine.plan(answer(Reply([], reasoning="hm hm")))
        await gate.chat()
        assert gate.metric("portico_null_answers_total", model=MODEL) == 0


async def test_retries() -> None:
    async with EngineDouble() as one, EngineDouble() as two, portico(one, two) as gate:
        one.plan(breaks(None))
        await gate.chat()
        assert gate.metric("portico_engine_retries_total", engine="one", reason="closed") == 1
        one.drop_idle()
        two.drop_idle()
        await asyncio.sleep(0.02)
        await one.stop()
        assert (await gate.chat()).status == 200
        assert gate.metric("portico_engine_retries_total", engine="one", reason="connect") == 1


async def test_projects() -> None:
    keys = [
        {"name": name, "key_sha256": hashlib.sha256(f"sk-{name}".encode()).hexdigest(), "project": project}
        for name, project in (("a", "lab"), ("b", "lab"), ("c", "shop"), ("d", "third"))
    ]
    async with (
        EngineDouble() as engine,
        portico(engine, auth={"static_keys": keys}, metrics={"projects": 2}) as gate,
    ):
        for name in "abcd":
            await gate.request("POST", CHAT, {"model": MODEL, "messages": MESSAGES}, f"sk-{name}")
        found = {
            project: gate.metric("portico_project_requests_total", project=project, outcome="ok")
            for project in ("lab", "shop", "third", "other")
        }
        assert found == {"lab": 2, "shop": 1, "third": 0, "other": 1}
        for project in ("lab", "shop", "other"):  # static keys name their projects
            assert f'portico_project_info{{name="{project}",project="{project}"}} 1.0' in gate.exposition()
        assert gate.total("portico_project_info") == 3
        assert gate.metric("portico_project_tokens_total", project="lab", kind="prompt") == 240
        assert gate.total("portico_project_tokens_total", kind="completion") == gate.metric(
            "portico_tokens_total", model=MODEL, kind="completion"
        )
        used = gate.metric("portico_project_tokens_total", project="shop", kind="completion")
        assert gate.metric("portico_project_share_tokens_total", project="shop") == 120 + 2 * used
        assert "third" not in gate.exposition()


async def test_stores() -> None:
    async with EngineDouble() as engine, portico(engine) as gate:
        await eventually(lambda: gate.metric("portico_store_up", store="durable") == 1)
        assert gate.metric("portico_store_up", store="volatile") == 1
        assert gate.metric("portico_keys_expiring", within="7d") == 0


async def test_time_and_text_of_moderation(tmp_path: Path) -> None:
    policy = tmp_path / "house.yaml"
    policy.write_text("name: house\nversion: 1\nrules: [{id: a, category: own, literals: [lantern], action: flag}]\n")
    async with EngineDouble() as engine, portico(engine, moderation={"policy": str(policy)}) as gate:
        engine.plan(answer(Reply("12345678", reasoning="123")))
        await gate.chat(messages=[{"role": "user", "content": "Hello, you!"}])
        assert gate.metric("portico_moderation_scanned_characters_total", direction="input") == 11
        assert gate.metric("portico_moderation_scanned_characters_total", direction="output") == 11
        assert gate.metric("portico_moderation_time_seconds_count", tier="rules") == 2
        assert 0 < gate.metric("portico_moderation_time_seconds_sum", tier="rules") < 1
