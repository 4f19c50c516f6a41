"""Spans as OTLP writes them, in protobuf. Loaded only where traces are exported: it needs the extra `otel`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, InstrumentationScope, KeyValue
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Status
from opentelemetry.proto.trace.v1.trace_pb2 import Span as SpanMessage

from server.telemetry.spans import Attribute, Span

KINDS = {
    "internal": SpanMessage.SPAN_KIND_INTERNAL,
    "server": SpanMessage.SPAN_KIND_SERVER,
    "client": SpanMessage.SPAN_KIND_CLIENT,
}


def encode(spans: Sequence[Span], resource: Mapping[str, Attribute]) -> bytes:
    """The body of a POST to /v1/traces."""
    scope = ScopeSpans(scope=InstrumentationScope(name="portico"), spans=[_span(one) for one in spans])
    of = Resource(attributes=_attributes(resource))
    request = ExportTraceServiceRequest(resource_spans=[ResourceSpans(resource=of, scope_spans=[scope])])
    return request.SerializeToString()


def _span(span: Span) -> SpanMessage:
    return SpanMessage(
        trace_id=bytes.fromhex(span.trace_id),
        span_id=bytes.fromhex(span.id),
        parent_span_id=bytes.fromhex(span.parent or ""),
        name=span.name,
        kind=KINDS[span.kind],
        start_time_unix_nano=span.start,
        end_time_unix_nano=span.end,
        attributes=_attributes(span.attributes),
        status=Status(code=Status.STATUS_CODE_ERROR) if span.error is not None else None,
    )


def _attributes(values: Mapping[str, Attribute]) -> list[KeyValue]:
    return [KeyValue(key=key, value=_value(value)) for key, value in values.items()]


def _value(value: Attribute) -> AnyValue:
    if isinstance(value, bool):
        return AnyValue(bool_value=value)
    if isinstance(value, int):
        return AnyValue(int_value=value)
    if isinstance(value, float):
        return AnyValue(double_value=value)
    return AnyValue(string_value=value)
