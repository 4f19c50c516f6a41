"""The script that makes the demo model stays alive: twenty steps, export, expansion, the same weights at the end."""

import csv
import json
import os
import struct
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
EXPAND = ROOT / "server" / "engines" / "managed" / "demo" / "expand.py"
HIDDEN_BYTES = 128 * 2  # one bfloat16 row of embedding or head
UNTRAINED = struct.pack("<H", 0xC348)  # -200 in bfloat16

pytestmark = pytest.mark.timeout(900)


def run(python: Path, *arguments: str | Path) -> str:
    done = subprocess.run([python, *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def needs_torch(python: Path) -> None:
    """Never skipped in CI, where the engine's environment has been installed."""
    found = subprocess.run([python, "-c", "import torch, openai_harmony"], capture_output=True, check=False)
    if found.returncode != 0 and not os.environ.get("CI"):
        pytest.skip("the engine's environment has no torch")


def tensors(path: Path) -> dict[str, bytes]:
    """A safetensors file read by hand: length of the header, header, data."""
    data = path.read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    spans = {name: item["data_offsets"] for name, item in header.items() if name != "__metadata__"}
    return {name: data[8 + length + start : 8 + length + end] for name, (start, end) in spans.items()}


def rows(data: bytes) -> list[bytes]:
    return [data[at : at + HIDDEN_BYTES] for at in range(0, len(data), HIDDEN_BYTES)]


@pytest.fixture(scope="module")
def trained(engine_python: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with log.csv, compact.safetensors and model/."""
    needs_torch(engine_python)
    out = tmp_path_factory.mktemp("demo-model")
    short = ("--steps", "20", "--conversations", "300", "--tokens", "2048", "--no-compile")
    run(engine_python, "-m", "tools.demo_model.train", *short, "--out", out)
    run(engine_python, "-m", "tools.demo_model.export", out / "checkpoint.pt", out / "compact.safetensors")
    printed = run(engine_python, EXPAND, "--out", out / "model", "--compact", out / "compact.safetensors")
    assert printed.count("\n") == 1
    return out


def test_twenty_steps_lower_the_loss(trained: Path) -> None:
    with (trained / "log.csv").open() as file:
        losses = [float(row["loss"]) for row in csv.DictReader(file)]
    assert len(losses) == 20
    assert sum(losses[-5:]) < 0.97 * sum(losses[:5])


def test_expanded_weights_are_the_trained_ones(trained: Path) -> None:
    compact, expanded = tensors(trained / "compact.safetensors"), tensors(trained / "model" / "model.safetensors")
    tokens = struct.unpack(f"<{len(compact['tokens']) // 4}i", compact["tokens"])
    for name, trained_rows in (("model.embed_tokens.weight", "embed.rows"), ("lm_head.weight", "head.rows")):
        full = rows(expanded.pop(name))
        assert len(full) == 201_088
        assert [full[token] for token in tokens] == rows(compact[trained_rows])
        others = set(range(len(full))) - set(tokens)
        if name == "lm_head.weight":
            assert {full[token] for token in others} == {UNTRAINED + bytes(HIDDEN_BYTES - 2)}
        else:
            assert {full[token] for token in others} == set(rows(compact["embed.shared"]))
    assert expanded == {name: data for name, data in compact.items() if name.startswith("model.")}


def test_folder_is_whole(trained: Path) -> None:
    model = trained / "model"
    tokenizer = {"tokenizer.json", "tokenizer_config.json"}
    files = {"config.json", "generation_config.json", "model.safetensors", "VERSION"} | tokenizer
    assert {path.name for path in model.iterdir()} == files
    assert json.loads((model / "config.json").read_text())["architectures"] == ["GptOssForCausalLM"]
    assert not [path for path in trained.iterdir() if path.name.startswith(".")]


def test_conversations_are_rendered_as_vllm_renders_them(engine_python: Path) -> None:
    needs_torch(engine_python)
    assert "rendered alike" in run(engine_python, "-m", "tools.demo_model.compare", "--number", "150")
