"""The whole command."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.behaviour.processes import free_port
from tests.commands.doctor.answering import answering
from tests.commands.shell import Shell
from tests.test_structure import ROOT


@pytest.fixture
def doctor(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Shell:
    monkeypatch.setenv("PORTICO_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("PORTICO_API_KEY", raising=False)
    monkeypatch.setenv("PORTICO__SERVER__PORT", str(free_port()))
    monkeypatch.setenv("PORTICO__METRICS__PORT", str(free_port()))
    (tmp_path / "portico.yaml").write_text(
        "engines: {lab: {url: 'http://127.0.0.1:9/v1', api_key: sk-s3cr3t}}\nmodels: {m: {engines: [lab]}}\n"
    )
    return Shell(capsys, monkeypatch, "doctor", "--config", str(tmp_path / "portico.yaml"))


def levels(tree: dict[str, Any]) -> dict[str, str]:
    """The worst of each check."""
    order = ("ok", "warn", "fail")
    found: dict[str, str] = {}
    for one in tree["verdicts"]:
        found[one["check"]] = max(found.get(one["check"], "ok"), one["level"], key=order.index)
    return found


def test_an_engine_that_is_down_fails_and_the_rest_is_told(doctor: Shell) -> None:
    text = doctor(status=1)
    lines = text.splitlines()
    assert all(line[:6] in ("ok    ", "warn  ", "FAIL  ") for line in lines)
    assert [line for line in lines if line.startswith("FAIL")] == [
        "FAIL  engine lab at 127.0.0.1:9: connection refused; start it, or correct engines.lab.url"
    ]
    assert "1 failed" in doctor.err
    assert "s3cr3t" not in text + doctor.err


def test_data_for_programs(doctor: Shell, tmp_path: Path) -> None:
    tree = doctor.json(status=1)
    assert tree["ok"] is False
    found = levels(tree)
    assert found["engine"] == "fail"
    for check in ("configuration", "port", "durable store", "volatile store", "moderation", "disk", "metrics"):
        assert found[check] == "ok", check
    assert found["keys"] == "warn"  # the development key
    assert found["permissions"] == "warn"  # the file with the engine's key is open to all
    assert set(tree["verdicts"][0]) == {"level", "check", "text", "way_out"}
    assert not (tmp_path / "home").exists()  # nothing is made
    assert "s3cr3t" not in json.dumps(tree)


def test_a_broken_configuration_is_told_with_its_line(doctor: Shell, tmp_path: Path) -> None:
    (tmp_path / "portico.yaml").write_text("server:\n  port: 8000\nadmission:\n  max_queue: many\n")
    text = doctor(status=1)
    assert f"FAIL  {tmp_path}/portico.yaml, line 4: admission.max_queue: " in text
    (tmp_path / "portico.yaml").write_text("server:\n  port: [\n")
    assert "portico.yaml, line 3: is not YAML" in doctor(status=1)


async def test_all_well(tmp_path: Path) -> None:
    """In a process of its own, as the command has an event loop of its own."""
    listed = {"object": "list", "data": [{"id": "m", "owned_by": "vllm", "max_model_len": 131072}]}
    async with answering({"/v1/models": (200, listed), "/version": (200, {"version": "0.33.0"})}) as engine:
        said = await _doctor(tmp_path, engine.url)
    assert said["ok"] is True
    texts = [one["text"] for one in said["verdicts"]]
    assert any("vLLM 0.33.0" in text for text in texts)
    assert "the clock agrees with engine lab" in texts


async def _doctor(folder: Path, url: str) -> dict[str, Any]:
    file = folder / "portico.yaml"
    file.write_text(f"engines: {{lab: {{url: '{url}/v1'}}}}\nmodels: {{m: {{engines: [lab]}}}}\n")
    environ = {
        **os.environ,
        "PORTICO_HOME": str(folder / "home"),
        "PORTICO__SERVER__PORT": "0",
        "PORTICO__METRICS__PORT": "0",
    }
    words = (sys.executable, "-m", "server", "doctor", "--json", "--config", str(file))
    process = await asyncio.create_subprocess_exec(*words, cwd=ROOT, env=environ, stdout=asyncio.subprocess.PIPE)
    out, _ = await process.communicate()
    assert process.returncode == 0, out
    return json.loads(out)
