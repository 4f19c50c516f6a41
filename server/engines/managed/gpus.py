"""How a preset is spread over the GPUs of a machine, or why it cannot be. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from server.engines.managed.hardware import Gpu, Hardware
from server.engines.managed.presets import GpuProfile, Preset

# torch 2.14.0, which vllm 0.33.0 pins, is built on cuda-toolkit 13.0 (its metadata); CUDA 13.0 needs driver R580
# or newer on Linux (NVIDIA, CUDA Toolkit 13.0 release notes, "CUDA Toolkit and Minimum Required NVIDIA Driver").
MIN_DRIVER = 580
# gpt-oss weights are MXFP4, for which vLLM has kernels from compute capability 8.0 on (Mxfp4Config.get_min_capability).
MIN_CAPABILITY = (8, 0)
# gpt-oss has 8 KV heads and 64 query heads: they divide among these numbers of GPUs.
TENSOR_PARALLEL = (1, 2, 4, 8)
EXTRA_GPU_GIB = 2.0  # what a further GPU keeps for itself (CUDA context, NCCL, activations)


@dataclass(frozen=True)
class GpuShare:
    gpus: tuple[Gpu, ...]  # of one kind, in nvidia-smi's order
    tensor_parallel: int  # how many of them are used
    profile: GpuProfile
    args: tuple[str, ...]
    env: dict[str, str]


@dataclass(frozen=True)
class Refusal:
    line: str  # for a person, with a way out
    fixable: bool = False  # by an update of the driver


def share(preset: Preset, hardware: Hardware) -> GpuShare | Refusal:
    """How `preset` goes onto this machine's GPUs."""
    if not hardware.gpus:
        return Refusal(refusal(hardware))
    group = largest_group(hardware)
    each = memory_gib(group[0], hardware)
    if group[0].capability < MIN_CAPABILITY:
        have = ".".join(map(str, group[0].capability))
        return Refusal(
            f"{group[0].name} has compute capability {have} and gpt-oss needs 8.0 (Ampere or newer): "
            "set engines.local.managed.model: demo, or use another GPU."
        )
    for profile in preset.gpus:
        count = _count(profile, preset, group, each)
        if count is not None:
            break
    else:
        return Refusal(
            f"{preset.id} needs {preset.memory_gib:.0f} GiB of GPU memory and {describe(group)} has less: name a "
            "smaller model in engines.local.managed.model (gpt-oss-20b, demo)."
        )
    if not _driver_is_new_enough(group[0].driver):
        return Refusal(
            f"The NVIDIA driver {group[0].driver} is too old: vLLM's CUDA 13 needs {MIN_DRIVER} or newer. "
            "Install a newer one, or set engines.local.managed.device: cpu.",
            fixable=True,
        )
    args = (f"--tensor-parallel-size={count}",) if count > 1 else ()
    return GpuShare(group, count, profile, args, _only(group, hardware))


def refusal(hardware: Hardware) -> str:
    """Why there is no GPU to use."""
    why = hardware.gpu_problem or "nvidia-smi finds none"
    return (
        f"No NVIDIA GPU can be used ({why}): install NVIDIA's driver {MIN_DRIVER} or newer (in a container, run it "
        "with --gpus all), or set engines.local.managed.model: demo."
    )


def largest_group(hardware: Hardware) -> tuple[Gpu, ...]:
    """The GPUs of one name that have the most memory together: tensor parallelism wants equal ones."""
    groups: dict[str, list[Gpu]] = {}
    for gpu in hardware.gpus:
        groups.setdefault(gpu.name, []).append(gpu)
    return tuple(max(groups.values(), key=lambda group: len(group) * memory_gib(group[0], hardware)))


def memory_gib(gpu: Gpu, hardware: Hardware) -> float:
    """Of one GPU; where it shares the machine's memory, that."""
    return (hardware.memory_mib if gpu.memory_mib is None else gpu.memory_mib) / 1024


def describe(gpus: Sequence[Gpu]) -> str:
    """Such as `2 x NVIDIA H100 80GB HBM3 (160 GiB)`."""
    first = gpus[0]
    times = f"{len(gpus)} x " if len(gpus) > 1 else ""
    if first.memory_mib is None:
        return f"{times}{first.name}"
    return f"{times}{first.name} ({sum(gpu.memory_mib or 0 for gpu in gpus) / 1024:.0f} GiB)"


def _count(profile: GpuProfile, preset: Preset, group: tuple[Gpu, ...], each: float) -> int | None:
    """How many GPUs of the group `profile` takes, or None where it does not fit."""
    if profile.name and not re.search(profile.name, group[0].name):
        return None
    if (profile.below_gib and each >= profile.below_gib) or len(group) < profile.count:
        return None
    counts = (profile.tensor_parallel,) if profile.tensor_parallel else TENSOR_PARALLEL
    fitting = (n for n in counts if n <= len(group) and n * each >= preset.memory_gib + (n - 1) * EXTRA_GPU_GIB)
    return next(fitting, None)


def _driver_is_new_enough(driver: str) -> bool:
    major = driver.split(".", maxsplit=1)[0]
    return not major.isdigit() or int(major) >= MIN_DRIVER


def _only(group: tuple[Gpu, ...], hardware: Hardware) -> dict[str, str]:
    """Where the machine has other GPUs too, hide those from vLLM. The order must then be nvidia-smi's."""
    if len(group) == len(hardware.gpus):
        return {}
    return {"CUDA_DEVICE_ORDER": "PCI_BUS_ID", "CUDA_VISIBLE_DEVICES": ",".join(str(gpu.index) for gpu in group)}
