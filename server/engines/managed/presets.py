"""The models that Portico knows how to serve, from config/models/*.yaml."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from server.config import Defaults, Name
from server.engines.managed.errors import EngineSetupError

DEMO = "demo"  # the `model` of a preset whose weights ship with Portico


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())


class GpuProfile(_Frozen):
    """vLLM's flags on some GPUs. It fits where name, memory and count fit; one without conditions always does."""

    name: str | None = Field(None, description="Regular expression found in nvidia-smi's name.")
    below_gib: float | None = Field(None, gt=0, description="Only GPUs with less memory than this, each.")
    count: int = Field(1, ge=1, description="GPUs that are needed.")
    tensor_parallel: int | None = Field(
        None, ge=1, description="GPUs that share the model; else the fewest that hold it."
    )
    context_length: int | None = Field(None, ge=16, description="In place of the preset's.")
    max_num_seqs: int | None = Field(None, ge=1, description="In place of the preset's.")
    args: tuple[str, ...] = Field((), description="Flags after those of the preset.")
    env: dict[str, str] = Field(default_factory=dict, description="Variables after those of the preset.")

    @field_validator("name")
    @classmethod
    def _compiles(cls, value: str | None) -> str | None:
        try:
            re.compile(value or "")
        except re.error as error:
            raise ValueError(f"is not a regular expression: {error}") from None
        return value


class Preset(_Frozen):
    id: Name = Field(description="What clients call it.")
    description: str = Field(description="Shown by /v1/models.")
    model: str = Field(description="Hugging Face id, or `demo`.")
    aliases: tuple[Name, ...] = Field((), description="Further names that clients may use.")
    device: Literal["cpu", "cuda"] = Field(description="Where it runs.")
    context_length: int = Field(ge=16, description="Longest prompt and answer together, in tokens.")
    defaults: Defaults = Field(default_factory=Defaults, description="Values for fields that a request leaves out.")
    max_num_seqs: int = Field(64, ge=1, description="Sequences that the engine runs at once.")
    memory_gib: float = Field(gt=0, description="Memory it needs: of the GPUs together, or of the machine.")
    disk_gib: float = Field(0, ge=0, description="Weights that the first start downloads.")
    layers: int | None = Field(None, ge=1, description="Layers of a gpt-oss folder that is this model.")
    args: tuple[str, ...] = Field((), description="vLLM's flags.")
    env: dict[str, str] = Field(default_factory=dict, description="The engine's environment variables.")
    gpus: tuple[GpuProfile, ...] = Field((), description="Flags by GPU; the first that fits is taken.")

    @model_validator(mode="after")
    def _gpu_needs_profile(self) -> Self:
        if self.device == "cuda" and not self.gpus:
            raise ValueError("gpus: a model for GPUs needs at least one entry, which may be `{}`")
        return self


def load_presets(folder: Path) -> dict[str, Preset]:
    """Every preset of `folder` by id. Raises `EngineSetupError` with file, key and reason."""
    presets: dict[str, Preset] = {}
    for path in sorted(folder.glob("*.yaml")):
        preset = parse_preset(_read(path), str(path))
        if preset.id in presets:
            raise EngineSetupError(f"{path}: id: {preset.id} is taken by another file of this folder.")
        presets[preset.id] = preset
    if not presets:
        raise EngineSetupError(f"{folder}: holds no model presets (*.yaml).")
    return presets


def parse_preset(tree: object, source: str) -> Preset:
    try:
        return Preset.model_validate(tree)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        key = ".".join(str(part) for part in first["loc"])
        reason = first["msg"].removeprefix("Value error, ")
        raise EngineSetupError(f"{source}: {key + ': ' if key else ''}{reason}") from None


def _read(path: Path) -> Any:
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise EngineSetupError(f"{path}: cannot be read: {' '.join(str(error).split())}") from None
