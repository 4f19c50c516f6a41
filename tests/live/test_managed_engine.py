"""The real vLLM under the supervisor: healthy, killed and back, stopped without a trace."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import signal
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from rich.console import Console

from server.config import Managed, home
from server.engines.managed import EngineState, EngineSupervisor, prepare
from server.engines.managed.state import read_record

START_S = 240.0  # it takes 20 to 35 s on two idle cores; tests share theirs


def session_members(session: int) -> list[int]:
    """Living processes of a session."""
    found: list[int] = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_bytes().rpartition(b")")[2].split()
            except OSError:
                continue
            if fields[0] not in (b"Z", b"X") and int(fields[3]) == session:
                found.append(int(entry.name))
    return found


def ask(url: str, key: str | None, body: dict[str, object] | None = None) -> tuple[int, dict[str, object]]:
    request = urllib.request.Request(url, json.dumps(body).encode() if body else None)
    request.add_header("content-type", "application/json")
    if key:
        request.add_header("authorization", f"Bearer {key}")
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, {}


@pytest.mark.live
@pytest.mark.timeout(600)
def test_start_kill_restart_stop(tmp_path: Path) -> None:
    prepared = prepare(Managed(model="demo", port=0), home(), Console(stderr=True))
    key = f"sk-{secrets.token_urlsafe(24)}"
    told: list[EngineState] = []
    log = tmp_path / "engine.log"

    async def scenario() -> tuple[int, int]:
        record_path = tmp_path / "engine.json"
        engine = EngineSupervisor(prepared.plan, prepared.installed, log, key, told.append, record_path=record_path)
        await engine.start()
        try:
            async with asyncio.timeout(START_S):
                await engine.wait_ready()
            first = engine.engine_pid
            assert first is not None
            await asyncio.to_thread(check_answers, engine.base_url, key, prepared.plan.model_id)
            assert len(session_members(first)) > 1, "vLLM has processes of its own"

            os.kill(first, signal.SIGKILL)
            await wait_for(told, "down", 30)
            assert session_members(first) == [], "nothing of the killed engine is left"
            await wait_for(told, "ready", START_S)
            second = engine.engine_pid
            assert second is not None
            record = read_record(record_path)
            assert record is not None
            assert record.engine_pid == second
        finally:
            await engine.stop()
        return first, second

    first, second = asyncio.run(scenario())
    assert first != second
    assert session_members(second) == []
    phases = {state.phase for state in told if state.state == "starting"}
    assert {"importing vLLM", "starting the engine process"} <= phases
    assert key not in log.read_text(errors="replace")


async def wait_for(told: list[EngineState], name: str, within_s: float) -> None:
    seen = len(told)
    async with asyncio.timeout(within_s):
        while not any(state.state == name for state in told[seen:]):  # noqa: ASYNC110 - the callback is plain
            await asyncio.sleep(0.1)


def check_answers(base_url: str, key: str, model: str) -> None:
    assert ask(f"{base_url}/models", None)[0] == 401, "the key is asked for"
    status, models = ask(f"{base_url}/models", key)
    assert status == 200
    assert models["data"][0]["id"] == model  # type: ignore[index]
    schema = {
        "type": "object",
        "properties": {"n": {"type": "integer"}},
        "required": ["n"],
        "additionalProperties": False,
    }
    body: dict[str, object] = {
        "model": model,
        "messages": [{"role": "user", "content": "hi"}],
        "max_tokens": 64,
        "response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": schema}},
    }
    status, answer = ask(f"{base_url}/chat/completions", key, body)
    assert status == 200, "structured output works without triton"
    assert answer["usage"]["completion_tokens"] > 0  # type: ignore[index]
