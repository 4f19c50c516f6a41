"""What this machine is: GPUs, processor, memory, disk. Pure parsers first, thin readers after them.

Sizes are MiB. Nothing here decides anything; `choose.py` does.
"""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

NVIDIA_SMI = "index,uuid,name,memory.total,driver_version,compute_cap"
NVIDIA_SMI_TIMEOUT_S = 20.0  # the first call on a machine without nvidia-persistenced takes several seconds


@dataclass(frozen=True)
class Gpu:
    name: str
    memory_mib: int | None  # None where GPU and processor share the memory (nvidia-smi says [N/A])
    driver: str
    capability: tuple[int, int]
    index: int = 0
    uuid: str = ""


@dataclass(frozen=True)
class Hardware:
    system: str  # Linux, Darwin, Windows
    machine: str  # x86_64, aarch64, arm64
    python: tuple[int, int]
    cpus: int
    cpu_flags: frozenset[str]
    memory_mib: int  # of the machine or of the container, whichever is less
    memory_available_mib: int
    home_free_mib: int  # disk under $PORTICO_HOME
    weights_free_mib: int  # disk under the Hugging Face cache
    weights_cached: frozenset[str]  # Hugging Face ids of which the cache holds a snapshot
    gpus: tuple[Gpu, ...] = ()
    gpu_problem: str | None = None  # nvidia-smi is there and fails


def parse_nvidia_smi(text: str) -> tuple[Gpu, ...]:
    """GPUs from `nvidia-smi --query-gpu=... --format=csv,noheader,nounits`; lines that do not fit are left out."""
    gpus: list[Gpu] = []
    for line in text.splitlines():
        fields = [field.strip() for field in line.split(",")]
        if len(fields) != 6 or not fields[0].isdigit():
            continue
        index, uuid, name, memory, driver, capability = fields
        major, _, minor = capability.partition(".")
        known = (int(major), int(minor)) if major.isdigit() and minor.isdigit() else (0, 0)
        gpus.append(Gpu(name, int(memory) if memory.isdigit() else None, driver, known, int(index), uuid))
    return tuple(gpus)


def visible(gpus: tuple[Gpu, ...], variable: str | None) -> tuple[Gpu, ...]:
    """The GPUs that CUDA_VISIBLE_DEVICES leaves. As in CUDA, the list ends at its first entry that names none."""
    if variable is None:
        return gpus
    chosen: list[Gpu] = []
    for entry in (part.strip() for part in variable.split(",")):
        found = [gpu for gpu in gpus if entry and (entry == str(gpu.index) or gpu.uuid.startswith(entry))]
        if len(found) != 1:
            break
        chosen.append(found[0])
    return tuple(chosen)


def parse_cpu_flags(cpuinfo: str) -> frozenset[str]:
    """The first processor's flags (`flags` on x86, `Features` on Arm)."""
    found = re.search(r"^(?:flags|Features)\s*:\s*(.*)$", cpuinfo, re.MULTILINE)
    return frozenset(found[1].split()) if found else frozenset()


def parse_meminfo(meminfo: str) -> tuple[int, int]:
    """(total, available) in MiB."""
    values = {key: int(kib) for key, kib in re.findall(r"^(\w+):\s+(\d+) kB", meminfo, re.MULTILINE)}
    return values.get("MemTotal", 0) // 1024, values.get("MemAvailable", values.get("MemFree", 0)) // 1024


def limit_memory(total: int, available: int, cgroup_max: str, cgroup_current: str) -> tuple[int, int]:
    """`(total, available)` under a cgroup's memory.max, which is `max` or a number of bytes."""
    if not cgroup_max.strip().isdigit():
        return total, available
    limit = int(cgroup_max) >> 20
    used = int(cgroup_current) >> 20 if cgroup_current.strip().isdigit() else 0
    return min(total, limit), min(available, max(0, limit - used))


def look(home: Path, environ: Mapping[str, str] = os.environ) -> Hardware:
    """Read this machine."""
    gpus, problem = _read_gpus(environ)
    total, available = parse_meminfo(_text(Path("/proc/meminfo")))
    cgroup = Path("/sys/fs/cgroup")
    total, available = limit_memory(total, available, _text(cgroup / "memory.max"), _text(cgroup / "memory.current"))
    weights = weights_folder(environ)
    return Hardware(
        system=platform.system(),
        machine=platform.machine(),
        python=sys.version_info[:2],
        cpus=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        cpu_flags=parse_cpu_flags(_text(Path("/proc/cpuinfo"))),
        memory_mib=total,
        memory_available_mib=available,
        home_free_mib=disk_free_mib(home),
        weights_free_mib=disk_free_mib(weights),
        weights_cached=_cached_models(weights),
        gpus=gpus,
        gpu_problem=problem,
    )


def weights_folder(environ: Mapping[str, str]) -> Path:
    """Where huggingface_hub keeps downloaded models."""
    if environ.get("HF_HUB_CACHE"):
        return Path(environ["HF_HUB_CACHE"]).expanduser()
    cache = Path(environ.get("XDG_CACHE_HOME") or "~/.cache") / "huggingface"
    return Path(environ.get("HF_HOME") or cache).expanduser() / "hub"


def disk_free_mib(path: Path) -> int:
    """Free space where `path` is or would be created."""
    existing = next(parent for parent in (path.absolute(), *path.absolute().parents) if parent.exists())
    return shutil.disk_usage(existing).free >> 20


def _read_gpus(environ: Mapping[str, str]) -> tuple[tuple[Gpu, ...], str | None]:
    command = shutil.which("nvidia-smi")
    if command is None:
        return (), None
    try:
        answer = subprocess.run(
            [command, f"--query-gpu={NVIDIA_SMI}", "--format=csv,noheader,nounits"],
            capture_output=True, text=True, timeout=NVIDIA_SMI_TIMEOUT_S, check=False, stdin=subprocess.DEVNULL,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return (), f"nvidia-smi did not answer in {NVIDIA_SMI_TIMEOUT_S:.0f} s"
    except OSError as error:
        return (), f"nvidia-smi cannot be run: {error.strerror}"
    gpus = visible(parse_nvidia_smi(answer.stdout), environ.get("CUDA_VISIBLE_DEVICES"))
    if answer.returncode:
        lines = (answer.stdout + answer.stderr).strip().splitlines()
        return (), f"nvidia-smi says: {lines[0] if lines else f'exit status {answer.returncode}'}"
    return gpus, None


def _cached_models(weights: Path) -> frozenset[str]:
    if not weights.is_dir():
        return frozenset()
    found = (path for path in weights.glob("models--*--*") if any(path.glob("snapshots/*/config.json")))
    return frozenset(path.name.removeprefix("models--").replace("--", "/", 1) for path in found)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
