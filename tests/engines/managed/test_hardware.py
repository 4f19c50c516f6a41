from pathlib import Path

import pytest

from server.engines.managed import hardware
from server.engines.managed.hardware import Gpu, limit_memory, parse_cpu_flags, parse_meminfo, parse_nvidia_smi, visible

TWO = """0, GPU-aaaa1111, NVIDIA H100 80GB HBM3, 81559, 580.95.05, 9.0
1, GPU-bbbb2222, NVIDIA H100 80GB HBM3, 81559, 580.95.05, 9.0
"""


def test_nvidia_smi_lines_become_gpus() -> None:
    first, second = parse_nvidia_smi(TWO)
    assert first == Gpu("NVIDIA H100 80GB HBM3", 81559, "580.95.05", (9, 0), 0, "GPU-aaaa1111")
    assert second.index == 1


def test_shared_memory_and_unknown_capability() -> None:
    (gpu,) = parse_nvidia_smi("0, GPU-x, NVIDIA GB10, [N/A], 580.95.05, [N/A]\n")
    assert gpu.memory_mib is None
    assert gpu.capability == (0, 0)


@pytest.mark.parametrize(
    "text", ["", "No devices were found\n", "NVIDIA-SMI has failed because it couldn't, communicate\n"]
)
def test_what_is_no_gpu_is_left_out(text: str) -> None:
    assert parse_nvidia_smi(text) == ()


@pytest.mark.parametrize(
    ("variable", "indices"),
    [(None, [0, 1]), ("1", [1]), ("1,0", [1, 0]), ("", []), ("-1", []), ("GPU-bbbb", [1]), ("0,7,1", [0])],
)
def test_cuda_visible_devices(variable: str | None, indices: list[int]) -> None:
    assert [gpu.index for gpu in visible(parse_nvidia_smi(TWO), variable)] == indices


def test_cpu_flags() -> None:
    assert "avx512f" in parse_cpu_flags("processor\t: 0\nflags\t\t: fpu avx2 avx512f\n")
    assert "asimd" in parse_cpu_flags("Features\t: fp asimd\n")
    assert parse_cpu_flags("") == frozenset()


def test_memory_is_what_the_container_may_use() -> None:
    total, available = parse_meminfo("MemTotal:       33554432 kB\nMemFree: 1 kB\nMemAvailable:   16777216 kB\n")
    assert (total, available) == (32768, 16384)
    assert limit_memory(total, available, "max\n", "1") == (32768, 16384)
    assert limit_memory(total, available, str(8 << 30), str(6 << 30)) == (8192, 2048)
    assert limit_memory(total, available, "", "") == (32768, 16384)


def test_this_machine_can_be_read(tmp_path: Path) -> None:
    here = hardware.look(tmp_path / "not" / "there", {"PATH": "/nowhere", "HF_HOME": str(tmp_path)})
    assert here.memory_mib > 0
    assert here.home_free_mib > 0
    assert here.cpus >= 1


def test_cached_models_are_seen(tmp_path: Path) -> None:
    snapshot = tmp_path / "hub/models--openai--gpt-oss-20b/snapshots/abc"
    snapshot.mkdir(parents=True)
    assert hardware.look(tmp_path, {"HF_HOME": str(tmp_path)}).weights_cached == frozenset()
    (snapshot / "config.json").write_text("{}")
    assert hardware.look(tmp_path, {"HF_HOME": str(tmp_path)}).weights_cached == {"openai/gpt-oss-20b"}


def test_a_broken_nvidia_smi_is_a_problem_and_no_crash(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    command = tmp_path / "nvidia-smi"
    command.write_text("#!/bin/sh\necho 'NVIDIA-SMI has failed'\nexit 9\n")
    command.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    here = hardware.look(tmp_path, {})
    assert here.gpus == ()
    assert here.gpu_problem == "nvidia-smi says: NVIDIA-SMI has failed"
