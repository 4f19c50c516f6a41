"""The section of traces."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Self

from pydantic import Field, model_validator

from server.config.section import HeaderName, HeaderValue, Section, Url


class Tracing(Section):
    endpoint: Url | None = Field(
        default=None,
        description="Base URL of an OTLP/HTTP receiver (an OpenTelemetry collector, Tempo, Jaeger, ...), without its "
        "/v1/traces; needs `pip install 'portico[otel]'`.",
    )
    sample_ratio: float = Field(
        default=1.0,
        ge=0,
        le=1,
        description="Share of calls that are traced; one that comes with a `traceparent` is if that says so.",
    )
    headers: dict[HeaderName, HeaderValue] = Field(
        default_factory=dict, description="Further headers for the receiver, such as its key.", repr=False
    )

    @model_validator(mode="after")
    def _can_be_sent(self) -> Self:
        if self.endpoint is not None and not (find_spec("opentelemetry") and find_spec("opentelemetry.proto")):
            raise ValueError("endpoint: needs the packages of the extra: pip install 'portico[otel]'")
        return self
