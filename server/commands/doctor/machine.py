"""Whether this machine can run the managed engine that is chosen for it."""

from __future__ import annotations

import platform
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from server.commands.doctor.fetch import Unreachable, fetch
from server.commands.doctor.verdict import Verdict, fail, ok, warn
from server.config import Managed, shipped
from server.engines.managed import EngineSetupError, Plan
from server.engines.managed.gpus import MIN_DRIVER, describe
from server.engines.managed.hardware import Hardware, weights_folder
from server.engines.managed.install import engine_recipe, find
from server.engines.managed.presets import load_presets
from server.engines.managed.serve import decide

GPU_HOST_GIB = 8  # vLLM's processes beside a GPU take some 4 GiB, and loading reads the weights through the page cache
SHARE = 0.9  # of a GPU's memory, which vLLM takes unless it is told otherwise
SMI_S = 20.0
HUB = "https://huggingface.co"
PROXIES = ("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY")

Weights = Literal["here", "partial", "absent"]


@dataclass(frozen=True, slots=True)
class EngineHost:
    """What was found of the managed engine. `hub`: why the weights cannot be fetched, where they cannot."""

    plan: Plan | None
    refusal: str
    needed_gib: float  # memory of the machine or of the GPUs, where known
    disk_gib: float  # of the weights
    installed: Path | None
    install_mib: int  # disk that the installation needs
    weights: Weights
    hub: str
    gpu_free_mib: tuple[int, ...]  # of each GPU now


def judge_machine(hardware: Hardware) -> Iterator[Verdict]:
    yield ok("machine", f"Python {platform.python_version()} on {hardware.system} {hardware.machine}")
    gib = hardware.memory_available_mib / 1024
    yield ok("machine", f"{gib:.0f} of {hardware.memory_mib / 1024:.0f} GiB of memory free, {hardware.cpus} cores")


def judge_gpus(hardware: Hardware) -> Iterator[Verdict]:
    if hardware.gpu_problem:
        yield warn(
            "gpu",
            f"there is an NVIDIA GPU that cannot be used: {hardware.gpu_problem}",
            "reinstall its driver or restart the machine; in a container, run it with --gpus all",
        )
    elif not hardware.gpus:
        yield ok("gpu", "no NVIDIA GPU")
    for gpu in hardware.gpus:
        major = gpu.driver.partition(".")[0]
        text = f"GPU {gpu.index}: {describe([gpu])}, driver {gpu.driver}"
        if major.isdigit() and int(major) < MIN_DRIVER:
            yield fail("gpu", text, f"vLLM's CUDA 13 needs driver {MIN_DRIVER} or newer: install that")
        else:
            yield ok("gpu", text)


def judge_engine_host(host: EngineHost, hardware: Hardware, *, runs: bool) -> Iterator[Verdict]:
    """`runs`: the engine is up or loading, and has the memory that it needs."""
    if host.plan is None:
        yield fail("engine", host.refusal)
        return
    yield ok("engine", host.plan.reason)
    yield from _judge_memory(host, host.plan, hardware, runs=runs)
    yield _judge_installed(host, hardware)
    if not host.plan.demo:
        yield judge_weights(host, host.plan)


def _judge_memory(host: EngineHost, plan: Plan, hardware: Hardware, *, runs: bool) -> Iterator[Verdict]:
    if plan.kind == "cpu":
        if hardware.machine == "x86_64" and "avx512f" not in hardware.cpu_flags:
            yield warn(
                "processor", "no AVX-512, so the engine is slower", "on a virtual machine, pass the host's CPU on"
            )
        elif hardware.machine == "x86_64":
            yield ok("processor", "has AVX-512")
        yield ok(
            "memory", f"{'the engine runs' if runs else 'enough memory is free'}: it needs {host.needed_gib:.0f} GiB"
        )
        return
    each = [gpu.memory_mib for gpu in hardware.gpus]
    yield ok("memory", f"{plan.model_id} needs {host.needed_gib:.0f} GiB of the GPUs' memory and they have it")
    for gpu, total, free in zip(hardware.gpus, each, host.gpu_free_mib, strict=False):
        if total is not None and not runs and free < SHARE * total:
            yield warn(
                "memory",
                f"GPU {gpu.index}: other programs use {(total - free) / 1024:.0f} of {total / 1024:.0f} GiB",
                "end them (nvidia-smi shows them), or lower --gpu-memory-utilization in engines.*.managed.args",
            )
    if hardware.memory_mib < GPU_HOST_GIB * 1024:
        yield warn(
            "memory",
            f"the machine has {hardware.memory_mib / 1024:.0f} GiB of memory beside its GPU",
            f"vLLM wants {GPU_HOST_GIB} GiB or more: loading may fail or take long",
        )


def _judge_installed(host: EngineHost, hardware: Hardware) -> Verdict:
    if host.installed is not None:
        return ok("engine", f"vLLM is installed in {host.installed}")
    needs = f"{host.install_mib / 1024:.0f} GiB of disk"
    if hardware.home_free_mib < host.install_mib:
        return fail(
            "disk",
            f"vLLM is not installed, which needs {needs}, and {hardware.home_free_mib / 1024:.1f} GiB is free",
            "make room, or set PORTICO_HOME to a folder on a larger disk",
        )
    return ok(
        "engine", f"vLLM is not installed yet: the first start does it ({needs}, and a network or a mirror of pip)"
    )


def judge_weights(host: EngineHost, plan: Plan) -> Verdict:
    if host.weights == "here":
        return ok("weights", f"the weights of {plan.model_id} are here")
    rest = "are here in part" if host.weights == "partial" else "are not here"
    if host.hub:
        return fail(
            "weights",
            f"the weights of {plan.model_id} {rest} and cannot be fetched: {host.hub}",
            "give a local folder in engines.*.managed.model, set HF_HOME to a cache that has them, or HF_ENDPOINT to a "
            "mirror that can be reached",
        )
    return ok("weights", f"the weights of {plan.model_id} {rest}: the start fetches them ({host.disk_gib:.0f} GiB)")


async def probe_engine_host(
    managed: Managed, hardware: Hardware, home: Path, environ: Mapping[str, str], *, runs: bool
) -> EngineHost:
    """Installs and fetches nothing."""
    if runs:  # the memory that it has is not free, and need not be
        hardware = replace(hardware, memory_available_mib=hardware.memory_mib)
    try:
        plan = decide(managed, hardware)
        preset = load_presets(shipped("config/models")).get(plan.preset or "")
        installed = find(plan.kind, home, demo=plan.demo)
        weights = weights_state(weights_folder(environ), plan)
    except EngineSetupError as error:
        return EngineHost(None, str(error), 0, 0, None, 0, "absent", "", ())
    return EngineHost(
        plan=plan,
        refusal="",
        needed_gib=preset.memory_gib if preset else 0,
        disk_gib=preset.disk_gib if preset else 0,
        installed=installed.python.parent.parent if installed else None,
        install_mib=engine_recipe(plan.kind).disk_mib,
        weights=weights,
        hub="" if weights == "here" else await probe_hub(plan.model or "", environ),
        gpu_free_mib=free_memory() if plan.kind == "cuda" and not runs else (),
    )


def weights_state(cache: Path, plan: Plan) -> Weights:
    """Of a model that the Hugging Face cache keeps; a folder's and the demo's are checked by the choice."""
    if plan.offline or plan.model is None:
        return "here"
    folder = cache / f"models--{plan.model.replace('/', '--')}"
    if not folder.is_dir():
        return "absent"
    unfinished = any(folder.glob("blobs/*.incomplete"))
    return "partial" if unfinished or not any(folder.glob("snapshots/*/*.safetensors")) else "here"


async def probe_hub(model: str, environ: Mapping[str, str]) -> str:
    """Why the hub does not give the model, "" where it does. Behind a proxy that is not tried."""
    if environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE"):
        return "HF_HUB_OFFLINE is set"
    if any(environ.get(name) for name in PROXIES):
        return ""
    hub = (environ.get("HF_ENDPOINT") or HUB).rstrip("/")
    try:
        answer = await fetch(f"{hub}/{model}/resolve/main/config.json")
    except Unreachable as error:
        return f"the model hub: {error}"
    return f"the model hub answers {answer.status}" if answer.status in (401, 403, 404) else ""


def free_memory() -> tuple[int, ...]:
    """MiB that are free on each GPU now; empty where nvidia-smi cannot say."""
    command = shutil.which("nvidia-smi")
    if command is None:
        return ()
    try:
        done = subprocess.run(
            [command, "--query-gpu=memory.free", "--format=csv,noheader,nounits"],
            capture_output=True, text=True, timeout=SMI_S, check=False, stdin=subprocess.DEVNULL,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return ()
    return tuple(int(line) for line in done.stdout.split("\n") if re.fullmatch(r"\s*\d+\s*", line))
