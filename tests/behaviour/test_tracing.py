"""One trace from the SDK to the engine: continued, exported, and passed on where nothing is exported."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from server.commands.doctor.fetch import fetch
from tests.behaviour.engine_double import EngineDouble, answer, error, hang
from tests.behaviour.processes import serve
from tests.behaviour.serving import CHAT, KEY, MESSAGES, MODEL, eventually, portico
from tests.behaviour.vllm import Reply

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
SAMPLED, UNSAMPLED = f"00-{TRACE}-{SPAN}-01", f"00-{TRACE}-{SPAN}-00"
BODY = {"model": MODEL, "messages": MESSAGES}


class Receiver:
    """Takes OTLP over HTTP."""

    def __init__(self) -> None:
        self.spans: list[Span] = []
        self.resources: list[dict[str, Any]] = []
        self.heads: list[str] = []
        self.bodies = b""
        self.url = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        length = int(head.lower().partition("content-length: ")[2].partition("\r\n")[0])
        body = await reader.readexactly(length)
        self.heads.append(head)
        self.bodies += body
        for one in ExportTraceServiceRequest.FromString(body).resource_spans:
            self.resources.append(attributes(one.resource))
            self.spans += [span for scope in one.scope_spans for span in scope.spans]
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
        await writer.drain()
        writer.close()

    def of_kind(self, kind: int) -> list[Span]:
        return [span for span in self.spans if span.kind == kind]


def attributes(of: Any) -> dict[str, Any]:
    return {one.key: getattr(one.value, one.value.WhichOneof("value")) for one in of.attributes}


@asynccontextmanager
async def receiver() -> AsyncIterator[Receiver]:
    one = Receiver()
    async with await asyncio.start_server(one.serve, "127.0.0.1", 0) as server:
        one.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        yield one


async def test_from_the_sdk_to_the_engine() -> None:
    async with (
        EngineDouble() as engine,
        receiver() as traces,
        portico(engine, tracing={"endpoint": traces.url, "headers": {"x-key": "k1"}}) as gate,
        gate.sdk(default_headers={"traceparent": SAMPLED}) as sdk,
    ):
        engine.plan(answer(Reply(["a", "b"], cached=100), delay_s=0.005))
        stream = await sdk.chat.completions.create(model="gpt-4o-mini", messages=MESSAGES, stream=True, temperature=0.5)  # type: ignore[call-overload]
        async for _ in stream:
            pass
        await eventually(lambda: len(traces.spans) == 2)
        (whole,), (at_engine,) = traces.of_kind(Span.SPAN_KIND_SERVER), traces.of_kind(Span.SPAN_KIND_CLIENT)
        assert whole.trace_id.hex() == at_engine.trace_id.hex() == TRACE
        assert whole.parent_span_id.hex() == SPAN
        assert at_engine.parent_span_id == whole.span_id
        (call,) = engine.calls
        assert call.headers["traceparent"] == f"00-{TRACE}-{at_engine.span_id.hex()}-01"
        assert whole.start_time_unix_nano <= at_engine.start_time_unix_nano
        assert at_engine.start_time_unix_nano + 10_000_000 < at_engine.end_time_unix_nano <= whole.end_time_unix_nano
        facts = attributes(whole)
        (line,) = gate.log_lines()
        assert line["trace_id"] == TRACE
        assert facts.pop("gen_ai.response.time_to_first_chunk") >= 0.005
        assert facts == {
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": "openai",
            "gen_ai.request.model": MODEL,
            "gen_ai.response.model": MODEL,
            "gen_ai.request.stream": True,
            "gen_ai.request.temperature": 0.5,
            "gen_ai.usage.input_tokens": 120,
            "gen_ai.usage.output_tokens": 2,
            "gen_ai.usage.cache_read.input_tokens": 100,
            "gen_ai.usage.reasoning.output_tokens": 0,
            "http.request.method": "POST",
            "http.route": CHAT,
            "http.response.status_code": 200,
            "portico.request_id": line["id"],
            "portico.project": "default",
        }
        assert attributes(at_engine)["portico.engine"] == "one"
        assert traces.resources[0]["service.name"] == "portico"
        assert "x-key: k1" in traces.heads[0]
        assert gate.metric("portico_trace_spans_total", outcome="exported") == 2


async def test_a_call_that_waits_has_a_span_for_it() -> None:
    async with (
        EngineDouble() as engine,
        receiver() as traces,
        portico(engine, engine={"max_in_flight": 1}, tracing={"endpoint": traces.url}) as gate,
    ):
        engine.plan(hang(1))
        async with gate.opened(stream=True) as first:
            await first.head()
            second = asyncio.create_task(gate.chat())
            await eventually(lambda: gate.parts.gateway.admission.queued == 1)
        assert (await second).status == 200
        await eventually(lambda: len(traces.spans) == 5)
        (queue,) = traces.of_kind(Span.SPAN_KIND_INTERNAL)
        (owner,) = [span for span in traces.spans if span.span_id == queue.parent_span_id]
        (gone,) = [one for one in traces.of_kind(Span.SPAN_KIND_SERVER) if one.span_id != owner.span_id]
        assert queue.name == "queue"
        assert owner.status.code == Status.STATUS_CODE_UNSET
        assert gone.status.code == Status.STATUS_CODE_ERROR
        assert attributes(gone)["error.type"] == "client_gone"
        assert gone.trace_id != owner.trace_id


async def test_who_is_sampled() -> None:
    async with (
        EngineDouble() as engine,
        receiver() as traces,
        portico(engine, tracing={"endpoint": traces.url, "sample_ratio": 0}) as gate,
    ):
        await gate.request("POST", CHAT, BODY, traceparent=UNSAMPLED)
        await gate.request("POST", CHAT, BODY)
        await gate.request("POST", CHAT, BODY, traceparent=SAMPLED)
        await eventually(lambda: len(traces.spans) == 2)
        assert {span.trace_id.hex() for span in traces.spans} == {TRACE}
        first, second, _ = (call.headers["traceparent"].split("-") for call in engine.calls)
        assert (first[1], first[3]) == (TRACE, "00")
        assert first[2] != SPAN
        assert second[1] != TRACE
        assert second[3] == "00"
        assert second[1] == gate.log_lines()[1]["trace_id"]


async def test_without_an_endpoint_it_is_passed_on_as_it_came() -> None:
    async with EngineDouble() as engine, portico(engine) as gate:
        for sent in (SAMPLED, UNSAMPLED, "00-not-a-trace", None):
            await gate.request("POST", CHAT, BODY, **({"traceparent": sent} if sent else {}))
        assert [call.headers.get("traceparent") for call in engine.calls] == [SAMPLED, UNSAMPLED, None, None]
        assert [line["trace_id"] for line in gate.log_lines()] == [TRACE, TRACE, None, None]


async def test_a_receiver_that_is_down_is_no_matter() -> None:
    async with EngineDouble() as engine, portico(engine, tracing={"endpoint": "http://127.0.0.1:9"}) as gate:
        engine.plan(error(500))
        assert (await gate.chat()).status == 502
        assert (await gate.chat(stream=True)).status == 200


async def test_neither_keys_nor_text_are_in_spans() -> None:
    canary = "canary4711"
    async with (
        EngineDouble() as engine,
        receiver() as traces,
        portico(engine, tracing={"endpoint": traces.url}) as gate,
    ):
        engine.plan(answer(Reply(canary, reasoning=canary)), error(400, canary), error(500, canary))
        for _ in range(3):
            body = BODY | {"messages": [{"role": "user", "content": canary}], "user": canary, "stop": canary}
            await gate.request("POST", CHAT, body | {"metadata": {canary: canary}}, x_custom=canary)
        await eventually(lambda: len(traces.spans) == 6)
        assert canary.encode() not in traces.bodies
        assert KEY.encode() not in traces.bodies


async def test_refusals_have_the_trace_in_their_line() -> None:
    async with EngineDouble() as engine, portico(engine) as gate:
        await gate.request("POST", CHAT, BODY | {"n": 99}, traceparent=SAMPLED)
        await gate.request("POST", CHAT, BODY, "sk-wrong", traceparent=SAMPLED)
        await gate.request("GET", "/v1/models", traceparent=SAMPLED)
        assert [line["trace_id"] for line in gate.log_lines()] == [TRACE] * 3


async def test_buckets_tell_a_trace_of_theirs(tmp_path: Path) -> None:
    """Through the real processes: worker, folder, parent."""
    async with (
        EngineDouble() as engine,
        receiver() as traces,
        serve(engine, tmp_path, tracing={"endpoint": traces.url}) as served,
    ):
        assert (await served.chat(stream=True)).status == 200
        await eventually(lambda: bool(list(served.request_lines())))
        (line,) = served.request_lines()
        await asyncio.sleep(1.5)  # written once a second
        url = f"http://127.0.0.1:{served.metrics_port}/metrics"
        answer = await fetch(url, {"accept": "application/openmetrics-text;version=1.0.0"})
        beside = re.findall(r"^(portico_\w+_bucket)\{.+ # \{trace_id=\"(\w+)\"\} ", answer.body.decode(), re.MULTILINE)
        assert sorted(beside) == [
            (f"portico_{name}_seconds_bucket", line["trace_id"])
            for name in ("engine_time", "request_duration", "time_to_first_token")
        ]
        assert "trace_id" not in await served.metrics()
