"""CPU reader, processes, medians and the table."""

from __future__ import annotations

import math
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bench import cpu, environments, peers, profile, table
from bench.measure import Figures, Row, add_latency, bars, median
from bench.process import Process, StartError, free_ports

BUSY = "import time\nend = time.process_time() + 0.3\nwhile time.process_time() < end: pass\n"


def test_a_busy_child_is_seen_alive_and_dead(tmp_path: Path) -> None:
    parent = (
        f"import subprocess, sys, time\nchild = subprocess.Popen([sys.executable, '-c', {BUSY!r}])\n"
        "child.wait()\nprint('done', flush=True)\ntime.sleep(60)\n"
    )
    process = Process([sys.executable, "-c", parent], tmp_path / "log")
    try:
        most = 0
        while process.last_words() != "done":
            process.check()
            most = max(most, cpu.usage(process.pid).processes)
            time.sleep(0.01)
        used = cpu.usage(process.pid)
    finally:
        process.stop()
    assert most == 2
    assert used.processes == 1 and used.cpu_s >= 0.3
    assert used.resident_mb > 1
    assert cpu.usage(process.pid) == cpu.Usage(0, 0, 0)


def test_stop_ends_children_that_will_not_go(tmp_path: Path) -> None:
    stubborn = "import signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
    stubborn += "print('up', flush=True)\ntime.sleep(60)"
    parent = f"import subprocess, sys, time\nsubprocess.Popen([sys.executable, '-c', {stubborn!r}])\ntime.sleep(60)\n"
    process = Process([sys.executable, "-c", parent], tmp_path / "log")
    while process.last_words() != "up":
        process.check()
        time.sleep(0.01)
    assert len(cpu.tree(process.pid)) == 2
    process.stop(grace_s=5)
    assert cpu.tree(process.pid) == []


def test_a_name_with_brackets_and_spaces_does_not_confuse_the_reader(tmp_path: Path) -> None:
    odd = tmp_path / "a) (b"
    odd.write_text("#!/bin/sh\nsleep 60\n")
    odd.chmod(0o755)
    with subprocess.Popen([odd], start_new_session=True) as child:
        time.sleep(0.05)
        assert child.pid in cpu.tree(child.pid)
        os.killpg(child.pid, 9)


def test_a_program_that_ends_says_why(tmp_path: Path) -> None:
    process = Process([sys.executable, "-c", "raise SystemExit('no engine')"], tmp_path / "log")
    process._child.wait()  # pyright: ignore[reportPrivateUsage]
    with pytest.raises(StartError, match="ended with status 1: no engine"):
        process.check()
    with pytest.raises(StartError, match="No such file"):
        Process([tmp_path / "missing"], tmp_path / "log")


def test_free_ports_differ() -> None:
    assert len(set(free_ports(20))) == 20


def test_a_variable_can_be_taken_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://elsewhere")
    code = "import os; print(os.environ.get('DATABASE_URL'), os.environ['MORE'])"
    process = Process([sys.executable, "-c", code], tmp_path / "log", {"DATABASE_URL": None, "MORE": "1"})
    process._child.wait()  # pyright: ignore[reportPrivateUsage]
    assert process.last_words() == "None 1"


def test_an_interrupted_install_is_done_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORTICO_HOME", str(tmp_path))
    made: list[Path] = []

    def install(peer: str, lock: Path, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        made.append(folder)
        if len(made) == 1:
            raise StartError("cannot be installed: network")

    monkeypatch.setattr(environments, "_install", install)
    with pytest.raises(StartError):
        environments.environment("vllm-router")
    folder = environments.environment("vllm-router")
    assert environments.environment("vllm-router") == folder
    assert made == [folder, folder] and folder.name.startswith("vllm-router-")
    with pytest.raises(StartError, match="is missing"):
        environments.environment("nobody")


def test_locks_name_their_peers_and_no_gpu_packages() -> None:
    assert environments.locked_version("sglang-router") == "0.3.2"
    for lock in environments.REQUIREMENTS.glob("bench-*.lock"):
        names = {line.partition("==")[0] for line in lock.read_text().splitlines() if "==" in line}
        assert not {name for name in names if name in {"torch", "vllm", "sglang"} or name.startswith("nvidia")}


def test_the_config_written_for_portico_is_valid(tmp_path: Path) -> None:
    from server.config import load

    path = tmp_path / "portico.yaml"
    path.write_text(peers.portico_config("http://127.0.0.1:8100", (8000, 9464), tmp_path, peers.Served("a/b:c", 4096)))
    config = load(path, environ={})
    assert config.models["a/b:c"].context_length == 4096
    assert config.auth.mode == "keys" and config.engines["engine"].url == "http://127.0.0.1:8100/v1"


def test_medians_pass_over_what_was_not_measured() -> None:
    rounds = [Figures(cpu_us_per_request=value) for value in (70.0, 90.0, math.nan, 80.0)]
    middle = median(rounds)
    assert middle.cpu_us_per_request == 80.0
    assert math.isnan(middle.cpu_us_per_chunk)
    assert math.isnan(median([]).resident_mb)


def rows() -> dict[str, Row]:
    found = {
        "direct": Row("direct", rounds=[Figures(unary_p50_ms=0.1), Figures(unary_p50_ms=0.2)]),
        "portico": Row("portico", "0.1.0", [Figures(60, unary_p50_ms=0.3), Figures(60, unary_p50_ms=0.5)]),
        "sglang-router": Row("sglang-router", "0.3.2", [Figures(80)]),
        "litellm": Row("litellm", failure="cannot be installed: no network"),
    }
    add_latency(found["portico"], found["direct"])
    return found


def test_added_latency_is_taken_round_by_round() -> None:
    assert [round(one.added_p50_ms, 3) for one in rows()["portico"].rounds] == [0.2, 0.3]


def test_bars_are_met_missed_or_not_measured() -> None:
    verdicts = {bar.what: bar.verdict for bar in bars(rows())}
    assert verdicts["unary CPU, portico / sglang-router"] == "met"
    assert verdicts["CPU per chunk, portico / vllm-router"] == "not measured"
    slow = {**rows(), "sglang-router": Row("sglang-router", rounds=[Figures(50)])}
    assert bars(slow)[0].verdict == "MISSED"


def test_the_table_shows_failed_rows_and_errors() -> None:
    found = rows()
    found["portico"].errors["status 503"] = 2
    text = table.report(list(found.values()), bars(found))
    lines = text.splitlines()
    assert len({len(line) for line in lines[:6]}) == 1  # aligned
    assert lines[3].startswith("| portico 0.1.0 (!)") and "60.0" in lines[3]
    assert lines[5].startswith("| litellm") and "-" in lines[5]
    assert "- litellm: not measured: cannot be installed: no network" in lines
    assert "- (!) portico: 2 x status 503" in lines
    assert "- unary CPU, portico / sglang-router: 0.75 x (bar 1): met" in lines


def test_a_profile_counts_a_recursive_function_once_and_passes_over_waiting_threads() -> None:
    folded = "process 7:x;main (a.py:1);walk (a.py:2);walk (a.py:2) 3\nmain (a.py:1) 1\n"
    folded += "main (a.py:1);EpollSelector.select (selectors.py:451) 90\nno count\n"
    own, total, samples = profile.own_and_total(folded)
    assert own == {"walk (a.py:2)": 3, "main (a.py:1)": 1}
    assert total == {"walk (a.py:2)": 3, "main (a.py:1)": 4}
    assert samples == 4
    assert "75.0%  walk (a.py:2)" in profile.report(folded, 5)
