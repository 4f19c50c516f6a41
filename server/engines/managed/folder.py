"""What a folder with a model holds, as far as choosing needs to know."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from server.engines.managed.errors import EngineSetupError


@dataclass(frozen=True)
class ModelFolder:
    path: Path  # absolute
    model_type: str  # gpt_oss for every gpt-oss
    layers: int | None
    context_length: int | None
    weights_mib: int
    quantization: str | None


def looks_like_path(model: str) -> bool:
    """Whether a configured model is meant as a path: it begins like one, or such a folder exists."""
    return model.startswith(("/", "./", "../", "~")) or model in (".", "..") or Path(model).is_dir()


def read_folder(model: str) -> ModelFolder:
    """Read the folder's config.json. Raises `EngineSetupError` where it is no model folder."""
    path = Path(model).expanduser().absolute()
    way_out = "engines.local.managed.model wants a folder with config.json, tokenizer and *.safetensors."
    if not path.is_dir():
        raise EngineSetupError(f"There is no model folder {path}: {way_out}")
    try:
        tree: Any = json.loads((path / "config.json").read_text(encoding="utf-8"))
        return parse_config(tree, path, sum(part.stat().st_size for part in path.glob("*.safetensors")) >> 20)
    except FileNotFoundError:
        raise EngineSetupError(f"{path} has no config.json: {way_out}") from None
    except (OSError, ValueError, AttributeError) as error:
        raise EngineSetupError(f"{path / 'config.json'} cannot be read ({error}): {way_out}") from None


def parse_config(tree: dict[str, Any], path: Path, weights_mib: int) -> ModelFolder:
    def number(key: str) -> int | None:
        value = tree.get(key)
        return value if isinstance(value, int) and value > 0 else None

    quantization: dict[str, Any] = tree.get("quantization_config") or {}
    return ModelFolder(
        path=path,
        model_type=str(tree.get("model_type", "")),
        layers=number("num_hidden_layers"),
        context_length=number("max_position_embeddings"),
        weights_mib=weights_mib,
        quantization=str(quantization["quant_method"]) if "quant_method" in quantization else None,
    )
