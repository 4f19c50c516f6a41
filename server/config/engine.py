"""The section of an engine."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Self

from pydantic import Field, model_validator

from server.config.section import Name, Seconds, Section, Url

EngineMake = Literal["vllm", "sglang", "lmstudio", "ollama", "llamacpp", "transformers"]


class Timeouts(Section):
    connect_s: Seconds = Field(default=5, description="Opening a connection to the engine.")
    first_byte_s: Seconds = Field(default=600, description="From the request to the first byte of the answer.")
    between_bytes_s: Seconds = Field(default=120, description="Silence within a streamed answer.")
    total_s: Seconds = Field(default=3600, description="The whole call.")


class Breaker(Section):
    failures: int = Field(default=5, ge=1, description="So many failed calls in a row, and it gets no more.")
    pause_s: Seconds = Field(default=10, description="For so long; then one call is let through to see.")


class Managed(Section):
    model: str = Field(
        default="auto", description="`auto`, `demo`, a preset of config/models, or the path of a model folder."
    )
    device: Literal["auto", "cpu", "cuda"] = Field(default="auto", description="Where the engine runs.")
    args: tuple[str, ...] = Field(default=(), description="Further arguments for vLLM, after those of the preset.")
    port: int = Field(default=8100, ge=0, le=65535, description="Loopback port of the engine; 0 takes a free one.")
    lora_adapters: dict[Name, Path] = Field(
        default_factory=dict, description="LoRA adapters by name; a model whose `engine_model` is that name uses it."
    )


class Engine(Section):
    url: Url | None = Field(default=None, description="Base URL of an OpenAI-compatible engine, with its /v1.")
    managed: Managed | None = Field(default=None, description="A vLLM that Portico installs, starts and watches.")
    make: EngineMake = Field(
        default="vllm", description="What kind of server answers at `url`; docs/engines.md says what each can do."
    )
    api_key: str | None = Field(default=None, description="Key that the engine asks for.", repr=False)
    max_in_flight: int = Field(
        default=64,
        ge=1,
        description="Calls that the engine gets at once from all workers together; more wait in the gateway.",
    )
    vllm: bool | None = Field(
        default=None,
        description="It is vLLM, started with `--scheduling-policy priority`: the priority of each call and a "
        "prefix-cache salt per project are sent to it. Default: true if managed, else false.",
    )
    health_path: str | None = Field(
        default=None,
        pattern="^/",
        description="Path probed on the engine's host; default /health where it has that, else URL/models.",
    )
    timeouts: Timeouts = Field(default_factory=Timeouts, description="Longest waits on the engine.")
    breaker: Breaker = Field(default_factory=Breaker, description="When an engine that fails is left alone.")

    @model_validator(mode="after")
    def _one_of(self) -> Self:
        if (self.url is None) == (self.managed is None):
            raise ValueError("exactly one of url and managed is needed")
        if self.make != "vllm" and (self.managed is not None or self.vllm):
            raise ValueError(f"make: {self.make} is not vLLM, so it can be neither `managed` nor `vllm: true`")
        return self
