"""Which engine, which model, which flags: the decision, pure.

    model: auto    the largest gpt-oss that the GPUs hold; with no such GPU the demo model on the CPU
    model: demo    the demo model, on the CPU
    model: <id>    that preset, where it runs, or a refusal with a way out
    model: <path>  that folder; one with gpt-oss-20b or 120b gets the flags of the preset

A GPU that cannot hold any gpt-oss is passed over under `auto`, and the reason says so; one that a newer driver would
make usable stops the start, because serving the demo model instead is not what its owner wants.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace

from server.config import Managed
from server.engines.managed.checks import check_cpu, check_machine, check_weights_disk
from server.engines.managed.errors import EngineSetupError
from server.engines.managed.folder import ModelFolder
from server.engines.managed.gpus import GpuShare, describe, largest_group, refusal, share
from server.engines.managed.hardware import Hardware
from server.engines.managed.plan import Plan
from server.engines.managed.presets import DEMO, Preset
from server.engines.managed.recipe import VLLM_VERSIONS, EngineKind

FOLDER_CONTEXT = {"cpu": 8192, "cuda": 32768}  # longest for a folder we know nothing of; `args` can raise it
FOLDER_SEQS = {"cpu": 64, "cuda": 128}
CPU_OVERHEAD_MIB = 4096  # vLLM's processes and KV cache beside the weights
GPU_OVERHEAD_MIB = 3072
HARMONY_ARGS = ("--tool-call-parser=openai", "--enable-auto-tool-choice")


def choose(
    managed: Managed, hardware: Hardware, presets: Mapping[str, Preset], folder: ModelFolder | None = None
) -> Plan:
    """The plan for this machine; `folder` is what `managed.model` holds where it is a path.

    Raises `EngineSetupError` with the reason and a way out.
    """
    check_machine(hardware)
    if folder is not None:
        plan = _folder(managed, hardware, presets, folder)
    elif managed.model == "auto":
        plan = _auto(managed, hardware, presets)
    else:
        preset = _named(managed.model, presets)
        if preset.device == "cpu":
            if managed.device == "cuda":
                raise EngineSetupError(
                    f"{preset.id} runs on the CPU only: leave out engines.local.managed.device, or name gpt-oss-20b."
                )
            plan = _on_cpu(preset, hardware, f"{preset.id} as configured")
        elif managed.device == "cpu":
            raise EngineSetupError(
                f"{preset.id} needs an NVIDIA GPU with {preset.memory_gib:.0f} GiB: leave out "
                "engines.local.managed.device, or set engines.local.managed.model: demo to try Portico on this CPU."
            )
        else:
            plan = _on_gpu(preset, hardware, f"{preset.id} as configured")
    return _with_wishes(plan, managed)


def _named(model: str, presets: Mapping[str, Preset]) -> Preset:
    for preset in presets.values():
        if model in (preset.id, preset.model):
            return preset
    known = ", ".join(sorted(presets))
    raise EngineSetupError(
        f"engines.local.managed.model: {model} is neither auto, demo, a preset ({known}) nor the path of a folder."
    )


def _auto(managed: Managed, hardware: Hardware, presets: Mapping[str, Preset]) -> Plan:
    demo = _named(DEMO, presets)
    if managed.device == "cpu":
        return _on_cpu(demo, hardware, "device: cpu is configured")
    if not hardware.gpus:
        if managed.device == "cuda":
            raise EngineSetupError(refusal(hardware))
        why = f"No usable NVIDIA GPU ({hardware.gpu_problem})" if hardware.gpu_problem else "No NVIDIA GPU found"
        return _on_cpu(demo, hardware, why)
    on_gpus = sorted((p for p in presets.values() if p.device == "cuda"), key=lambda p: -p.memory_gib)
    found = describe(largest_group(hardware))
    refused = ""
    for preset in on_gpus:
        given = share(preset, hardware)
        if isinstance(given, GpuShare):
            return _on_gpu(preset, hardware, f"Found {found}")
        if given.fixable:
            raise EngineSetupError(given.line)
        refused = given.line
    if managed.device == "cuda":
        raise EngineSetupError(refused)
    return _on_cpu(demo, hardware, f"{found} cannot hold {on_gpus[-1].id if on_gpus else 'any preset'}")


def _on_cpu(preset: Preset, hardware: Hardware, why: str) -> Plan:
    check_cpu(preset.id, preset.memory_gib * 1024, hardware)
    what = "the demo model" if preset.model == DEMO else preset.model
    return Plan(
        kind="cpu",
        preset=preset.id,
        model=None if preset.model == DEMO else preset.model,
        model_id=preset.id,
        description=preset.description,
        context_length=preset.context_length,
        max_num_seqs=preset.max_num_seqs,
        reason=f"{why}: real vLLM {VLLM_VERSIONS['cpu']} on CPU with {what} ({preset.id}){_slow(hardware)}.",
        aliases=preset.aliases,
        defaults=preset.defaults,
        args=preset.args,
        env=preset.env,
        offline=preset.model == DEMO,
    )


def _on_gpu(preset: Preset, hardware: Hardware, why: str, folder: ModelFolder | None = None) -> Plan:
    given = share(preset, hardware)
    if not isinstance(given, GpuShare):
        raise EngineSetupError(given.line)
    if folder is None and preset.model not in hardware.weights_cached:
        check_weights_disk(preset, hardware)
    profile = given.profile
    used = describe(given.gpus[: given.tensor_parallel])
    source = str(folder.path) if folder else preset.model
    return Plan(
        kind="cuda",
        preset=preset.id,
        model=source,
        model_id=preset.id,
        description=preset.description,
        context_length=profile.context_length or preset.context_length,
        max_num_seqs=profile.max_num_seqs or preset.max_num_seqs,
        reason=f"{why}: vLLM {VLLM_VERSIONS['cuda']} with {preset.id} from {source} on {used}.",
        aliases=preset.aliases,
        defaults=preset.defaults,
        args=(*preset.args, *profile.args, *given.args),
        env={**preset.env, **profile.env, **given.env},
        offline=folder is not None,
    )


def _folder(managed: Managed, hardware: Hardware, presets: Mapping[str, Preset], folder: ModelFolder) -> Plan:
    kind: EngineKind = "cpu" if managed.device == "cpu" or not hardware.gpus else "cuda"
    if managed.device == "cuda" and not hardware.gpus:
        raise EngineSetupError(refusal(hardware))
    if folder.weights_mib == 0 and not _says_dummy(managed.args):
        raise EngineSetupError(f"{folder.path} has a config.json and no *.safetensors: finish its download first.")
    for preset in presets.values():
        if preset.layers and preset.layers == folder.layers and folder.quantization == "mxfp4":
            if kind == "cpu":
                raise EngineSetupError(
                    f"{folder.path} is {preset.id}, which needs an NVIDIA GPU: set engines.local.managed.model: demo "
                    "to try Portico on this CPU."
                )
            return _on_gpu(preset, hardware, f"{folder.path} as configured", folder)
    return _unknown_folder(kind, hardware, folder)


def _unknown_folder(kind: EngineKind, hardware: Hardware, folder: ModelFolder) -> Plan:
    """A model folder that is no preset: flags that are safe for any model."""
    name = re.sub(r"[^A-Za-z0-9._-]", "-", folder.path.name).lstrip("._-")[:128] or "model"
    overhead = CPU_OVERHEAD_MIB if kind == "cpu" else GPU_OVERHEAD_MIB
    stand_in = Preset.model_validate(
        {
            "id": name,
            "description": f"Model from the folder {folder.path.name}",
            "model": str(folder.path),
            "device": kind,
            "context_length": max(16, min(folder.context_length or 8192, FOLDER_CONTEXT[kind])),
            "max_num_seqs": FOLDER_SEQS[kind],
            "memory_gib": (folder.weights_mib * 1.2 + overhead) / 1024,
            "args": HARMONY_ARGS if folder.model_type == "gpt_oss" else (),
            "gpus": ({},) if kind == "cuda" else (),
        }
    )
    if kind == "cuda":
        return _on_gpu(stand_in, hardware, f"{folder.path} as configured", folder)
    plan = _on_cpu(stand_in, hardware, f"{folder.path} as configured")
    cpu_args = ("--enforce-eager", "--distributed-executor-backend=uni")
    env = {"VLLM_CPU_OMP_THREADS_BIND": "nobind", "VLLM_ENABLE_V1_MULTIPROCESSING": "0", "VLLM_CPU_KVCACHE_SPACE": "1"}
    return replace(plan, args=(*cpu_args, *plan.args), env=env, offline=True)


def _slow(hardware: Hardware) -> str:
    lacks = hardware.machine == "x86_64" and "avx512f" not in hardware.cpu_flags
    return "; this processor has no AVX-512, so it is slower" if lacks else ""


def _says_dummy(args: tuple[str, ...]) -> bool:
    return "dummy" in " ".join(args)  # --load-format dummy: random weights, for measurements


def _with_wishes(plan: Plan, managed: Managed) -> Plan:
    """What the configuration adds to the plan: port, adapters, arguments (the last of a flag counts)."""
    if managed.lora_adapters and plan.kind == "cpu":
        raise EngineSetupError(  # seen with 0.32.0: the first call to the adapter ends the engine
            "LoRA adapters need a GPU (vLLM's kernels for them in mixture-of-experts layers are Triton's): take "
            "engines.local.managed.lora_adapters out."
        )
    return replace(
        plan,
        args=(*plan.args, *managed.args),
        adapters={name: str(path.absolute()) for name, path in managed.lora_adapters.items()},
        port=managed.port,
        context_length=_length(managed.args) or plan.context_length,
    )


def _length(args: tuple[str, ...]) -> int | None:
    """The context length that the arguments set, if they do, as vLLM reads it (32768, 32k = 32000, 32K = 32768)."""
    joined = " ".join(args)
    found = re.findall(r"--max[-_]model[-_]len[ =](\d+)([kK]?)(?=\s|$)", joined)
    if not found:
        return None
    number, unit = found[-1]
    return int(number) * {"": 1, "k": 1000, "K": 1024}[unit]
