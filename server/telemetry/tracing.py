"""Whether a call is traced, and where its spans go."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from importlib import import_module
from random import getrandbits, random
from time import perf_counter, time_ns

from server.call import Call, Trace
from server.config import Tracing
from server.telemetry.export import HttpReceiver, SpanExporter
from server.telemetry.spans import Attribute, spans_of
from server.telemetry.trace_context import parse_traceparent


class Tracer:
    """Without an exporter a valid `traceparent` is passed on as it came, and its trace id is logged."""

    def __init__(self, exporter: SpanExporter | None, sample_ratio: float) -> None:
        self._exporter = exporter
        self._ratio = sample_ratio

    def begin(self, traceparent: bytes | None) -> Trace | None:
        """Sampled as the client's span is; without one by `sample_ratio`."""
        if self._exporter is None and traceparent is None:
            return None
        parent = parse_traceparent(traceparent)
        if self._exporter is None:
            return None if parent is None else Trace(parent.trace_id, parent.span, None, parent.span, parent.sampled)
        if parent is None:
            return Trace(f"{getrandbits(128):032x}", None, _span_id(), _span_id(), self._chosen())
        return Trace(parent.trace_id, parent.span, _span_id(), _span_id(), parent.sampled)

    def finished(self, call: Call) -> None:
        """Of one that has a trace."""
        trace = call.trace
        if self._exporter is not None and trace is not None and trace.span is not None and trace.sampled:
            zero = time_ns() - int(perf_counter() * 1e9)
            self._exporter.add(spans_of(call, trace, trace.span, _span_id(), zero))

    def _chosen(self) -> bool:
        return random() < self._ratio  # noqa: S311

    async def start(self) -> None:
        if self._exporter is not None:
            await self._exporter.start()

    async def stop(self) -> None:
        if self._exporter is not None:
            await self._exporter.stop()


def tracer_of(config: Tracing, instance: str, version: str, became: Callable[[str, int], None]) -> Tracer:
    """`instance` tells this worker from all others, and `became` hears what became of how many spans."""
    if config.endpoint is None:
        return Tracer(None, 0)
    resource: dict[str, Attribute] = {
        "service.name": "portico",
        "service.version": version,
        "service.instance.id": instance,
    }
    # Only here: protobuf is an extra, and takes memory that nobody wants to give who exports nothing.
    encode = import_module("server.telemetry.otlp").encode
    receiver = HttpReceiver(config.endpoint, config.headers)
    return Tracer(SpanExporter(partial(encode, resource=resource), receiver, became), config.sample_ratio)


def _span_id() -> str:
    return f"{getrandbits(64):016x}"
