"""`python -m bench.gpu` against the simulated engine, without a GPU and without vLLM."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import uvloop

from bench import peers
from bench.client import Target
from bench.environments import home
from bench.gpu import __main__ as program
from bench.gpu import engine, report
from bench.gpu.measure import CHAT, COMPLETIONS, Plan, Side, Way, measure, request_body
from bench.load import StreamRun
from bench.measure import wait_ready
from bench.peers import Running
from bench.process import StartError

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    running = peers.start_engine(tmp_path_factory.mktemp("engine"), chunks=10, interval_ms=0)
    try:
        uvloop.run(wait_ready(running))
        yield running
    finally:
        running.process.stop()


@pytest.fixture
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with no weights in its caches."""
    monkeypatch.setenv("PORTICO_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.delenv("HF_HUB_CACHE", raising=False)
    return tmp_path


def script(path: Path, text: str) -> Path:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def test_the_engine_and_portico_side_by_side(
    simulated: Running, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(program, "RESULTS", tmp_path / "RESULTS-gpu.md")
    monkeypatch.setattr(report, "gpu", lambda: None)
    given = ["--url", f"{simulated.base}/v1", "--streams", "1,3", "--max-tokens", "10", "--rounds", "1", "--write"]
    assert program.main(given) == 0
    text = (tmp_path / "RESULTS-gpu.md").read_text()
    assert capsys.readouterr().out.strip() in text
    assert "CPU try" in text and "vLLM 0.32.0" in text and "(!)" not in text
    table = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line[:1] == "|"]
    assert [line[:2] for line in table[2:]] == [["direct", "1"], ["portico", "1"], ["direct", "3"], ["portico", "3"]]
    assert [line[-1] == "-" for line in table[2:]] == [True, False, True, False]  # the gateway's CPU


def test_every_token_of_the_rounds_is_counted(simulated: Running) -> None:
    ways = (Way("a", Target(simulated.base, "k")), Way("b", Target(simulated.base, "k"), simulated.process.pid))
    a, b = uvloop.run(measure(ways, 4, "m", Plan(max_tokens=5, rounds=2)))
    for side in (a, b):
        assert (side.tokens, side.chunks, len(side.ttft), len(side.gaps)) == (80, 80, 16, 64)
        assert not side.errors and side.tokens_per_chunk == 1 and side.tokens_per_s > 0
    assert a.gateway_cpu_s is None and b.gateway_cpu_s is not None


def test_few_clients_read_more_streams() -> None:
    assert [Plan().repeat(streams) for streams in (1, 2, 64, 512)] == [8, 4, 2, 2]


def test_the_share_of_a_core_and_the_cpu_of_a_chunk() -> None:
    side = Side("portico", 2)
    side.add(StreamRun(seconds=2.0, chunks=1000, tokens=1500), 0.05)
    side.add(StreamRun(seconds=2.0, chunks=1000, tokens=1500), 0.07)
    assert side.cpu_us_per_chunk == pytest.approx(60)
    assert side.core_percent == pytest.approx(3)
    assert (side.tokens_per_s, side.tokens_per_chunk) == (750, 1.5)
    assert report.cells([Side("direct", 1)])[1] == ["direct", "1", *["-"] * 8]


@pytest.mark.parametrize("path", [CHAT, COMPLETIONS])
def test_no_two_requests_share_a_prompt(path: str) -> None:
    bodies = {request_body(path, "m", 9) for _ in range(50)}
    assert len(bodies) == 50
    assert all((b'"prompt"' in body) == (path == COMPLETIONS) and b"include_usage" in body for body in bodies)


def test_sections_are_appended_under_one_title(tmp_path: Path) -> None:
    path = tmp_path / "RESULTS-gpu.md"
    report.append(path, "## first\n")
    report.append(path, "## second\n")
    text = path.read_text()
    assert text.startswith("# ") and text.count("\n# ") == 0
    assert text.index("## first") < text.index("## second") and text.endswith("## second\n")


def test_what_no_gpu_was_seen_for_is_marked() -> None:
    assert report.heading("1 x NVIDIA H100", here=True) == "1 x NVIDIA H100"
    assert report.heading("", here=True).startswith("CPU try")
    assert report.heading("", here=False) == "engine on another machine"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["--url", "http://x", "--start-vllm"], "not allowed with"),
        (["--url", "http://x", "--", "--enforce-eager"], "make no sense with --url"),
        (["--streams", "1,many"], "numbers separated by commas"),
        (["--streams", "0"], "1 or more"),
        (["--rounds", "0"], "1 or more"),
    ],
)
def test_bad_command_lines(given: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        program.parse(given)
    assert message in capsys.readouterr().err


def test_what_follows_two_dashes_goes_to_vllm() -> None:
    args = program.parse(["--streams", "1,8", "--", "--enforce-eager", "--seed=1"])
    assert (args.streams, args.vllm_args, args.model) == ((1, 8), ["--enforce-eager", "--seed=1"], "openai/gpt-oss-20b")


def test_weights_of_a_folder_and_of_the_cache(nowhere: Path) -> None:
    assert engine.find_weights("openai/gpt-oss-20b") is None
    snapshot = nowhere / "hf/hub/models--openai--gpt-oss-20b/snapshots/abc"
    snapshot.mkdir(parents=True)
    (snapshot / "model-00001.safetensors").touch()
    assert engine.find_weights("openai/gpt-oss-20b") == engine.Weights("openai/gpt-oss-20b", dummy=False, offline=True)
    assert engine.find_weights("openai/gpt-oss-120b") is None
    assert engine.find_weights(str(snapshot)) == engine.Weights(str(snapshot), dummy=False, offline=True)
    assert engine.find_weights(str(nowhere)) is None


def test_a_model_without_weights_is_made_once(nowhere: Path) -> None:
    log = nowhere / "calls"
    python = script(nowhere / "python", f'echo "$@" >> {log}; mkdir -p "$2"; touch "$2/config.json"')
    weights = engine.dummy_weights("openai/gpt-oss-120b", python)
    assert engine.dummy_weights("openai/gpt-oss-120b", python) == weights
    assert weights == engine.Weights(str(home() / "models/gpt-oss-120b-dummy"), dummy=True, offline=True)
    (call,) = log.read_text().splitlines()
    assert call.endswith("--layers 36 --experts 128")
    assert engine.dummy_weights(weights.model, python) == weights  # a folder is taken as it is
    with pytest.raises(StartError, match="only gpt-oss-20b and gpt-oss-120b"):
        engine.dummy_weights("openai/gpt-5", python)
    broken = script(nowhere / "broken", "echo 'No module named transformers' >&2; exit 1")
    with pytest.raises(StartError, match="No module named transformers"):
        engine.dummy_weights("openai/gpt-oss-20b", broken)


def test_dummy_weights_are_asked_of_vllm_and_the_address_stays_ours() -> None:
    weights = engine.Weights("/models/gpt-oss-20b", dummy=True, offline=True)
    line = engine.command(Path("/env/bin/python"), weights, 8100, 512, ["--port=1", "--max-model-len=4096"])
    assert "--load-format=dummy" in line and "--max-num-seqs=512" in line
    assert line.index("--port=8100") > line.index("--port=1")
    assert line.index("--max-model-len=4096") > line.index("--max-model-len=8192")
    real = engine.command(Path("/env/bin/python"), engine.Weights("m", False, False), 8100, 8, [])
    assert not any(part.startswith("--load-format") for part in real)


def test_a_started_engine_is_waited_for_and_asked_what_it_serves(tmp_path: Path) -> None:
    python = script(
        tmp_path / "python",
        f'for last; do :; done; cd {ROOT}; exec {sys.executable} -m bench.sim_engine --port "${{last#--port=}}"',
    )
    started = engine.start(python, engine.Weights("m", True, True), 8, ["--seed=1"], tmp_path / "log")
    assert started.process
    started.process.stop()
    assert (started.dummy, started.flags) == (True, ("--seed=1",))
    assert (started.model, started.version, started.context_length) == ("gpt-oss-20b", "0.32.0", 131_072)


def test_an_engine_that_ends_says_why(tmp_path: Path) -> None:
    python = script(tmp_path / "python", "echo 'CUDA out of memory' >&2; exit 3")
    with pytest.raises(StartError, match="ended with status 3: CUDA out of memory"):
        engine.start(python, engine.Weights("m", False, True), 8, [], tmp_path / "log")


def test_a_url_with_nothing_behind_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert program.main(["--url", "http://127.0.0.1:9/v1", "--streams", "1"]) == 1
    assert "cannot measure: http://127.0.0.1:9/v1/models gives no model" in capsys.readouterr().err


def test_the_installed_engine_is_the_default(nowhere: Path) -> None:
    assert engine.default_python() == Path(sys.executable)
    for name, whole in (("cuda-1", True), ("cuda-2", False)):
        python = nowhere / "home/engines" / name / "bin/python"
        python.parent.mkdir(parents=True)
        python.touch()
        if whole:
            (python.parents[1] / ".complete").touch()
    assert engine.default_python() == nowhere / "home/engines/cuda-1/bin/python"
