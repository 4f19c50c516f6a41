"""The engine to be measured: one that runs already, or a vLLM started here, with or without its model's weights."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from bench.environments import home, say
from bench.process import Process, StartError, free_ports

LAYERS_AND_EXPERTS = {"gpt-oss-20b": (24, 32), "gpt-oss-120b": (36, 128)}
_LOAD_LIMIT_S = 3600.0  # a first start may download 65 GB
_open = urllib.request.build_opener(urllib.request.ProxyHandler({})).open


@dataclass(frozen=True)
class Engine:
    """A ready engine: `base` is its URL without /v1, `context_length` in tokens, `process` None for one of others.

    `flags` are those that the user gave to vLLM.
    """

    base: str
    api_key: str
    model: str
    context_length: int
    version: str
    dummy: bool = False
    process: Process | None = None
    flags: tuple[str, ...] = ()


@dataclass(frozen=True)
class Weights:
    """What vLLM's --model gets. Dummy weights: the real configuration, values of no meaning, the real speed."""

    model: str
    dummy: bool
    offline: bool


def base_url(url: str) -> str:
    """The engine's URL without the /v1 that clients are given."""
    return url.rstrip("/").removesuffix("/v1")


def is_here(base: str) -> bool:
    return urlsplit(base).hostname in ("127.0.0.1", "::1", "localhost")


def attach(url: str, api_key: str) -> Engine:
    """Ask a running engine what it serves. Raises StartError."""
    base = base_url(url)
    try:
        models = _get(base, "/v1/models", api_key)["data"]
        card = models[0]
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise StartError(f"{base}/v1/models gives no model: {error}") from None
    try:
        version = str(_get(base, "/version", api_key)["version"])
    except (OSError, ValueError, LookupError, TypeError):
        version = "?"
    context = int(card.get("max_model_len") or 131_072)
    return Engine(base, api_key, str(card["id"]), context, version)


def _get(base: str, path: str, api_key: str) -> Any:
    request = urllib.request.Request(base + path, headers={"authorization": f"Bearer {api_key}"})
    with _open(request, timeout=10) as answer:
        return json.loads(answer.read())


def default_python() -> Path:
    """The Python of the newest engine that Portico installed, else this one."""
    found = home().parent.glob("engines/*/bin/python")
    whole = [path for path in found if (path.parent.parent / ".complete").exists()]
    return max(whole, key=lambda path: path.parent.parent.stat().st_mtime, default=Path(sys.executable))


def find_weights(model: str) -> Weights | None:
    """The weights of a folder or, by its Hugging Face id, of the local cache; None where there are none."""
    folder = Path(model).expanduser()
    if folder.is_dir():
        return Weights(str(folder.absolute()), dummy=False, offline=True) if any(folder.glob("*.safetensors")) else None
    root = os.environ.get("HF_HOME") or "~/.cache/huggingface"
    cache = Path(os.environ.get("HF_HUB_CACHE") or f"{root}/hub").expanduser()
    if any(cache.glob(f"models--{model.replace('/', '--')}/snapshots/*/*.safetensors")):
        return Weights(model, dummy=False, offline=True)
    return None


def dummy_weights(model: str, python: Path) -> Weights:
    """A model folder without weights: the given one, or one made for a gpt-oss by its name. Raises StartError."""
    given = Path(model).expanduser()
    if (given / "config.json").is_file():
        return Weights(str(given.absolute()), dummy=True, offline=True)
    name = model.rpartition("/")[2]
    if name not in LAYERS_AND_EXPERTS:
        raise StartError(f"{model}: no such folder, and only {' and '.join(LAYERS_AND_EXPERTS)} can be made up")
    layers, experts = LAYERS_AND_EXPERTS[name]
    folder = home() / "models" / f"{name}-dummy"
    if not (folder / "config.json").is_file():  # it is written last
        say(f"no weights of {model} here: making a folder with its configuration and tokenizer")
        script = Path(__file__).with_name("make_model.py")
        command = [python, script, folder, "--layers", layers, "--experts", experts]
        made = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False)
        if made.returncode:
            raise StartError(f"the model folder cannot be made: {(made.stderr.strip() or '?').splitlines()[-1][:200]}")
    return Weights(str(folder), dummy=True, offline=True)


def command(python: Path, weights: Weights, port: int, max_streams: int, extra: Sequence[str]) -> list[str]:
    """vLLM's command line; what `extra` says again wins, but for the address."""
    return [
        str(python),
        "-m",
        "vllm.entrypoints.openai.api_server",  # `vllm serve` of the CPU wheel looks for a distribution called vllm
        f"--max-num-seqs={max_streams}",
        f"--served-model-name={Path(weights.model).name}",
        "--max-model-len=8192",
        "--disable-uvicorn-access-log",
        *(["--load-format=dummy"] if weights.dummy else []),
        *extra,
        f"--model={weights.model}",
        "--host=127.0.0.1",
        f"--port={port}",
    ]


def start(python: Path, weights: Weights, max_streams: int, extra: Sequence[str], log: Path) -> Engine:
    """Start vLLM and wait until it serves. Raises StartError; no process is left then."""
    (port,) = free_ports(1)
    env: dict[str, str | None] = {"VLLM_NO_USAGE_STATS": "1", "DO_NOT_TRACK": "1", "VLLM_API_KEY": None}
    env |= {"PYTHONPATH": None, "PYTHONHOME": None, "VIRTUAL_ENV": None}
    if weights.offline:
        env |= {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1"}
    if weights.dummy:
        env["TIKTOKEN_ENCODINGS_BASE"] = weights.model  # an older openai-harmony would download the vocabulary
    process = Process(command(python, weights, port, max_streams, extra), log, env)
    try:
        _wait(process, f"http://127.0.0.1:{port}")
        found = attach(f"http://127.0.0.1:{port}", "none")
        return replace(found, dummy=weights.dummy, process=process, flags=tuple(extra))
    except BaseException:
        process.stop()
        raise


def _wait(process: Process, base: str) -> None:
    begun, said = time.monotonic(), 0.0
    while (waited := time.monotonic() - begun) < _LOAD_LIMIT_S:
        process.check()
        try:
            with _open(f"{base}/health", timeout=5):
                return
        except OSError:
            time.sleep(0.5)
        if waited - said >= 10:
            said = waited
            say(f"vLLM is loading ({waited:.0f} s): {process.last_words()[:100]}")
    raise StartError(f"vLLM was not ready after {_LOAD_LIMIT_S:.0f} s: {process.last_words()}")
