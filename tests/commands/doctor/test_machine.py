from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from server.commands.doctor import machine
from server.commands.doctor.machine import EngineHost, judge_engine_host, judge_gpus, probe_engine_host, probe_hub
from server.config import Managed, shipped
from server.engines.managed.choose import choose
from server.engines.managed.gpus import MIN_DRIVER
from server.engines.managed.hardware import Gpu, Hardware
from server.engines.managed.plan import Plan
from server.engines.managed.presets import load_presets
from tests.behaviour.processes import free_port
from tests.commands.doctor.answering import answering
from tests.engines.managed.machines import LAPTOP

H100 = replace(LAPTOP, gpus=(Gpu("NVIDIA H100", 81559, "580.95.05", (9, 0)),))
MODEL = "openai/gpt-oss-20b"


def plan(hardware: Hardware, model: str = "auto") -> Plan:
    return choose(Managed(model=model), hardware, load_presets(shipped("config/models")))


def host(chosen: Plan | None, **facts: Any) -> EngineHost:
    good: dict[str, Any] = {
        "refusal": "", "needed_gib": 4, "disk_gib": 15, "installed": Path("/engine"), "install_mib": 4096,
        "weights": "here", "hub": "", "gpu_free_mib": (),
    }  # fmt: skip
    return EngineHost(plan=chosen, **(good | facts))


def said(one: EngineHost, hardware: Hardware, level: str, *, runs: bool = False) -> str:
    return "\n".join(each.line for each in judge_engine_host(one, hardware, runs=runs) if each.level == level)


@pytest.mark.parametrize(
    ("hardware", "level", "text"),
    [
        (LAPTOP, "ok", "no NVIDIA GPU"),
        (H100, "ok", "GPU 0: NVIDIA H100 (80 GiB), driver 580.95.05"),
        (replace(LAPTOP, gpus=(Gpu("L4", 23034, "535.1", (8, 9)),)), "fail", f"needs driver {MIN_DRIVER} or newer"),
        (replace(LAPTOP, gpu_problem="nvidia-smi says: no"), "warn", "cannot be used: nvidia-smi says: no"),
    ],
)
def test_gpus(hardware: Hardware, level: str, text: str) -> None:
    (verdict,) = judge_gpus(hardware)
    assert verdict.level == level and text in verdict.line


def test_a_good_machine() -> None:
    good = said(host(plan(LAPTOP)), LAPTOP, "ok")
    for part in ("with the demo model", "has AVX-512", "enough memory is free: it needs 4 GiB", "installed in /engine"):
        assert part in good
    assert said(host(plan(LAPTOP)), LAPTOP, "warn") == said(host(plan(LAPTOP)), LAPTOP, "fail") == ""
    one = host(plan(H100, "gpt-oss-20b"), gpu_free_mib=(81000,), needed_gib=15)
    assert "gpt-oss-20b needs 15 GiB of the GPUs' memory" in said(one, H100, "ok")
    assert "the weights of gpt-oss-20b are here" in said(one, H100, "ok")
    assert said(one, H100, "warn") == said(one, H100, "fail") == ""


def test_what_is_wrong_with_it() -> None:
    assert "no room" in said(host(None, refusal="no room"), LAPTOP, "fail")
    slow = replace(LAPTOP, cpu_flags=frozenset({"avx2"}))
    assert "no AVX-512" in said(host(plan(slow)), slow, "warn")
    arm = replace(LAPTOP, machine="aarch64", cpu_flags=frozenset())
    assert "AVX" not in said(host(plan(arm)), arm, "warn") + said(host(plan(arm)), arm, "ok")
    small = replace(H100, memory_mib=4096)
    assert "4 GiB of memory beside its GPU" in said(host(plan(H100)), small, "warn")
    full = replace(LAPTOP, home_free_mib=1000)
    assert "vLLM is not installed, which needs 4 GiB" in said(host(plan(LAPTOP), installed=None), full, "fail")
    assert "the first start does it" in said(host(plan(LAPTOP), installed=None), LAPTOP, "ok")


def test_who_else_uses_the_gpu() -> None:
    one = host(plan(H100), gpu_free_mib=(40000,))
    assert "other programs use 41 of 80 GiB" in said(one, H100, "warn")
    assert said(one, H100, "warn", runs=True) == ""  # it is the engine itself


@pytest.mark.parametrize(
    ("weights", "hub", "level", "text"),
    [
        ("here", "", "ok", "are here"),
        ("absent", "", "ok", "are not here: the start fetches them (15 GiB)"),
        ("partial", "", "ok", "are here in part: the start fetches them"),
        ("absent", "HF_HUB_OFFLINE is set", "fail", "are not here and cannot be fetched: HF_HUB_OFFLINE is set"),
        ("partial", "the model hub: no answer", "fail", "are here in part and cannot be fetched"),
    ],
)
def test_weights(weights: str, hub: str, level: str, text: str) -> None:
    assert text in said(host(plan(H100), weights=weights, hub=hub), H100, level)


def test_what_the_cache_holds(tmp_path: Path) -> None:
    chosen = plan(H100, "gpt-oss-20b")
    assert machine.weights_state(tmp_path, chosen) == "absent"
    snapshot = tmp_path / "models--openai--gpt-oss-20b/snapshots/abc"
    snapshot.mkdir(parents=True)
    (snapshot / "config.json").touch()
    assert machine.weights_state(tmp_path, chosen) == "partial"
    (snapshot / "model-00001-of-00001.safetensors").touch()
    assert machine.weights_state(tmp_path, chosen) == "here"
    (snapshot.parents[1] / "blobs").mkdir()
    (snapshot.parents[1] / "blobs/abc.incomplete").touch()
    assert machine.weights_state(tmp_path, chosen) == "partial"
    assert machine.weights_state(tmp_path, plan(LAPTOP)) == "here"


async def test_the_hub() -> None:
    path = f"/{MODEL}/resolve/main/config.json"
    async with answering({path: (307, {})}) as hub:
        assert await probe_hub(MODEL, {"HF_ENDPOINT": hub.url + "/"}) == ""
    async with answering({path: (401, {})}) as hub:
        assert await probe_hub(MODEL, {"HF_ENDPOINT": hub.url}) == "the model hub answers 401"
    nowhere = f"http://127.0.0.1:{free_port()}"
    assert "the model hub: " in await probe_hub(MODEL, {"HF_ENDPOINT": nowhere})
    assert await probe_hub(MODEL, {"HF_ENDPOINT": nowhere, "https_proxy": "http://proxy:1"}) == ""
    assert "HF_HUB_OFFLINE" in await probe_hub(MODEL, {"HF_HUB_OFFLINE": "1"})


async def test_a_machine_as_it_is(tmp_path: Path) -> None:
    """An engine that runs has its memory already; nothing is installed."""
    tight = replace(LAPTOP, memory_available_mib=500)
    demo = Managed(model="demo")
    asked = await probe_engine_host(demo, tight, tmp_path, {}, runs=False)
    assert asked.plan is None and "needs 4.0 GiB of free memory" in asked.refusal
    running = await probe_engine_host(demo, tight, tmp_path, {}, runs=True)
    assert running.plan is not None and (running.needed_gib, running.installed) == (4, None)
    assert list(tmp_path.iterdir()) == []  # noqa: ASYNC240 - quick


@pytest.mark.parametrize(
    ("prints", "free"), [("80000\n1234\n", (80000, 1234)), ("[N/A]\n", ()), ("No devices were found\n", ())]
)
def test_free_memory(prints: str, free: tuple[int, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    smi = tmp_path / "nvidia-smi"
    smi.write_text(f"#!/bin/sh\nprintf '{prints}'\n")
    smi.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    assert machine.free_memory() == free
