from dataclasses import replace
from pathlib import Path

import pytest

from server.config import Managed, shipped
from server.engines.managed.choose import choose
from server.engines.managed.errors import EngineSetupError
from server.engines.managed.folder import ModelFolder, looks_like_path, read_folder
from server.engines.managed.hardware import Gpu, Hardware
from server.engines.managed.plan import Plan
from server.engines.managed.presets import load_presets
from tests.engines.managed.machines import LAPTOP

PRESETS = load_presets(shipped("config/models"))


def machine(
    name: str, mib: int | None, count: int = 1, driver: str = "580.95.05", capability: tuple[int, int] = (9, 0)
) -> Hardware:
    return replace(LAPTOP, gpus=tuple(Gpu(name, mib, driver, capability, index) for index in range(count)))


H100 = machine("NVIDIA H100 80GB HBM3", 81559)
GEFORCE = machine("NVIDIA GeForce RTX 4090", 24564, capability=(8, 9))


def plan(hardware: Hardware, **managed: object) -> Plan:
    return choose(Managed.model_validate(managed), hardware, PRESETS)


def refusal(hardware: Hardware, **managed: object) -> str:
    with pytest.raises(EngineSetupError) as caught:
        plan(hardware, **managed)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_no_gpu_means_the_demo_model_and_says_so() -> None:
    chosen = plan(LAPTOP)
    assert (chosen.kind, chosen.preset, chosen.demo, chosen.model_id) == ("cpu", "gpt-oss-demo", True, "gpt-oss-demo")
    assert chosen.reason == "No NVIDIA GPU found: real vLLM 0.32.0 on CPU with the demo model (gpt-oss-demo)."
    assert chosen.offline
    assert "gpt-4o" in chosen.aliases


@pytest.mark.parametrize(
    ("hardware", "preset", "flags"),
    [
        (H100, "gpt-oss-120b", ["--gpu-memory-utilization=0.95", "--max-num-batched-tokens=1024"]),
        (machine("NVIDIA H100 80GB HBM3", 81559, 2), "gpt-oss-120b", ["--max-num-batched-tokens=8192", "--tensor-parallel-size=2"]),  # noqa: E501
        (machine("NVIDIA H200", 143771), "gpt-oss-120b", ["--max-cudagraph-capture-size=2048"]),
        (machine("NVIDIA B200", 183359, capability=(10, 0)), "gpt-oss-120b", ["--kv-cache-dtype=fp8"]),
        (machine("NVIDIA A100-SXM4-80GB", 81920, 4, capability=(8, 0)), "gpt-oss-120b", ["--tensor-parallel-size=4"]),
        (machine("NVIDIA A100-SXM4-40GB", 40960, 2, capability=(8, 0)), "gpt-oss-120b", ["--tensor-parallel-size=2"]),
        (machine("NVIDIA A100-SXM4-40GB", 40960, capability=(8, 0)), "gpt-oss-20b", []),
        (machine("NVIDIA L4", 23034, 8, capability=(8, 9)), "gpt-oss-120b", ["--tensor-parallel-size=4"]),
        (GEFORCE, "gpt-oss-20b", []),
        (machine("NVIDIA GeForce RTX 4080", 16376, capability=(8, 9)), "gpt-oss-20b", ["--gpu-memory-utilization=0.95"]),  # noqa: E501
    ],
)  # fmt: skip
def test_the_largest_model_that_fits_with_the_flags_of_its_gpu(
    hardware: Hardware, preset: str, flags: list[str]
) -> None:
    chosen = plan(hardware)
    assert (chosen.kind, chosen.preset) == ("cuda", preset)
    assert chosen.reason.startswith("Found ")
    for flag in (*flags, "--tool-call-parser=openai"):
        assert flag in chosen.args


def test_context_length_by_gpu() -> None:
    assert plan(GEFORCE).context_length == 32768
    assert plan(H100).context_length == 131072
    assert plan(GEFORCE, args=["--max-model-len", "65536"]).context_length == 65536
    assert plan(GEFORCE, args=["--max-model-len=64K"]).context_length == 65536


def test_a_gpu_that_shares_the_machines_memory() -> None:
    spark = replace(machine("NVIDIA GB10", None, capability=(12, 1)), memory_mib=122_880)
    assert plan(spark).preset == "gpt-oss-120b"


def test_unequal_gpus_use_one_kind_and_hide_the_rest() -> None:
    mixed = replace(
        H100, gpus=(Gpu("Small", 8192, "580", (8, 6), 0), Gpu("NVIDIA H100 80GB HBM3", 81559, "580", (9, 0), 1))
    )
    chosen = plan(mixed)
    assert chosen.preset == "gpt-oss-120b"
    assert chosen.env["CUDA_VISIBLE_DEVICES"] == "1"


@pytest.mark.parametrize(
    ("hardware", "why"),
    [
        (machine("NVIDIA GeForce GTX 1650", 4096, capability=(7, 5)), "cannot hold gpt-oss-20b"),
        (machine("Tesla T4", 15360, capability=(7, 5), driver="470.1"), "cannot hold gpt-oss-20b"),
        (replace(LAPTOP, gpu_problem="nvidia-smi says: it has failed"), "No usable NVIDIA GPU (nvidia-smi says: it has failed)"),  # noqa: E501
    ],
)  # fmt: skip
def test_a_gpu_that_cannot_serve_is_passed_over_aloud(hardware: Hardware, why: str) -> None:
    chosen = plan(hardware)
    assert chosen.demo
    assert why in chosen.reason


def test_a_driver_that_an_update_would_mend_stops_the_start() -> None:
    old = machine("NVIDIA H100 80GB HBM3", 81559, driver="535.183.01")
    line = refusal(old)
    assert "535.183.01" in line
    assert "580" in line
    assert plan(old, device="cpu").demo


@pytest.mark.parametrize(
    ("hardware", "managed", "says"),
    [
        (LAPTOP, {"device": "cuda"}, "No NVIDIA GPU can be used"),
        (LAPTOP, {"model": "gpt-oss-20b"}, "No NVIDIA GPU can be used"),
        (H100, {"model": "demo", "device": "cuda"}, "runs on the CPU only"),
        (H100, {"model": "openai/gpt-oss-20b", "device": "cpu"}, "needs an NVIDIA GPU"),
        (GEFORCE, {"model": "gpt-oss-120b"}, "needs 76 GiB of GPU memory"),
        (machine("Tesla T4", 15360, capability=(7, 5)), {"model": "gpt-oss-20b"}, "compute capability 7.5"),
        (machine("Tesla T4", 15360, capability=(7, 5)), {"device": "cuda"}, "compute capability 7.5"),
        (LAPTOP, {"model": "gpt-5"}, "neither auto, demo, a preset"),
        (replace(LAPTOP, cpu_flags=frozenset({"sse2"})), {}, "AVX-512 or AVX2"),
        (replace(LAPTOP, memory_available_mib=2048), {}, "GiB of free memory"),
        (replace(GEFORCE, weights_free_mib=2048), {}, "HF_HOME"),
        (replace(LAPTOP, system="Darwin"), {}, "runs on Linux"),
        (replace(LAPTOP, machine="riscv64"), {}, "no CPU build for riscv64"),
        (replace(LAPTOP, python=(3, 15)), {}, "Python 3.11 to 3.14"),
        (LAPTOP, {"lora_adapters": {"a": "/a"}}, "LoRA adapters need a GPU"),
    ],
)
def test_refusals_are_one_line_with_a_way_out(hardware: Hardware, managed: dict[str, object], says: str) -> None:
    assert says in refusal(hardware, **managed)


def test_cached_weights_need_no_disk() -> None:
    cached = replace(GEFORCE, weights_free_mib=10, weights_cached=frozenset({"openai/gpt-oss-20b"}))
    assert plan(cached).preset == "gpt-oss-20b"


def test_no_avx512_is_said_and_goes_on() -> None:
    assert "no AVX-512" in plan(replace(LAPTOP, cpu_flags=frozenset({"avx2"}))).reason


def test_wishes_come_last() -> None:
    chosen = plan(GEFORCE, args=["--seed", "7"], port=9, lora_adapters={"polite": "/adapters/polite", "terse": "terse"})
    assert chosen.args[-2:] == ("--seed", "7")
    assert chosen.port == 9
    # vLLM runs in another folder, so no path may be relative.
    assert chosen.adapters == {"polite": "/adapters/polite", "terse": str(Path.cwd() / "terse")}


REAL_20B = ModelFolder(Path("/m/gpt-oss-20b"), "gpt_oss", 24, 131072, 13200, "mxfp4")
TINY = ModelFolder(Path("/m/my tiny"), "gpt_oss", 4, 131072, 100, None)


def test_a_folder_with_known_weights_gets_the_presets_flags() -> None:
    chosen = choose(Managed(), GEFORCE, PRESETS, REAL_20B)
    assert (chosen.model_id, chosen.model, chosen.offline) == ("gpt-oss-20b", "/m/gpt-oss-20b", True)
    assert chosen.context_length == 32768
    with pytest.raises(EngineSetupError, match="needs an NVIDIA GPU"):
        choose(Managed(), LAPTOP, PRESETS, REAL_20B)


def test_any_other_folder() -> None:
    on_cpu = choose(Managed(), LAPTOP, PRESETS, TINY)
    assert (on_cpu.kind, on_cpu.preset, on_cpu.model_id, on_cpu.context_length) == ("cpu", "my-tiny", "my-tiny", 8192)
    assert "--tool-call-parser=openai" in on_cpu.args
    on_gpu = choose(Managed(), GEFORCE, PRESETS, TINY)
    assert (on_gpu.kind, on_gpu.context_length) == ("cuda", 32768)
    other = replace(TINY, model_type="llama", weights_mib=60_000)
    with pytest.raises(EngineSetupError, match="GPU memory"):
        choose(Managed(), GEFORCE, PRESETS, other)
    with pytest.raises(EngineSetupError, match="free memory"):
        choose(Managed(), LAPTOP, PRESETS, other)
    with pytest.raises(EngineSetupError, match="No NVIDIA GPU"):
        choose(Managed(device="cuda"), LAPTOP, PRESETS, TINY)


def test_a_folder_without_weights_is_unfinished_unless_dummy_ones_are_asked_for() -> None:
    empty = replace(REAL_20B, weights_mib=0)
    with pytest.raises(EngineSetupError, match="finish its download"):
        choose(Managed(), GEFORCE, PRESETS, empty)
    assert choose(Managed(args=("--load-format", "dummy")), GEFORCE, PRESETS, empty).preset == "gpt-oss-20b"


def test_reading_folders(tmp_path: Path) -> None:
    for made in (None, "config.json without a mapping"):
        if made:
            (tmp_path / "config.json").write_text("[]")
        with pytest.raises(EngineSetupError) as caught:
            read_folder(str(tmp_path))
        assert "wants a folder" in str(caught.value)
    (tmp_path / "config.json").write_text(
        '{"model_type": "gpt_oss", "num_hidden_layers": 24, "max_position_embeddings": 99}'
    )
    assert read_folder(str(tmp_path)).layers == 24
    with pytest.raises(EngineSetupError, match="There is no model folder"):
        read_folder(str(tmp_path / "nowhere"))
    assert looks_like_path("/x")
    assert looks_like_path("./x")
    assert not looks_like_path("openai/gpt-oss-20b")
