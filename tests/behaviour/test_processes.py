"""Workers under `portico serve`: stopped in good order, started again, counted together."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from pathlib import Path

import pytest

from tests.behaviour.engine_double import EngineDouble, answer, hang
from tests.behaviour.processes import serve
from tests.behaviour.serving import eventually
from tests.behaviour.vllm import Reply


async def test_open_streams_finish_within_the_grace_time(tmp_path: Path) -> None:
    async with EngineDouble() as engine, serve(engine, tmp_path, server={"shutdown_grace_s": 10}) as served:
        engine.plan(answer(Reply(["a "] * 10), delay_s=0.1))
        async with served.opened(stream=True) as wire, served.opened() as whole:
            await wire.head()
            await eventually(lambda: len(engine.calls) == 2)
            ending = asyncio.create_task(served.end())
            body = b"".join([part async for part in wire.parts()])
            assert body.endswith(b"data: [DONE]\n\n")
            assert (await whole.reply()).status == 200
            assert await ending == 0
        assert [line["outcome"] for line in served.request_lines()] == ["ok", "ok"]


async def test_then_they_end_with_an_error_event(tmp_path: Path) -> None:
    async with EngineDouble() as engine, serve(engine, tmp_path, server={"shutdown_grace_s": 0.5}) as served:
        engine.always = hang(3)
        async with served.opened(stream=True) as wire, served.opened() as whole:
            await wire.head()
            await eventually(lambda: len(engine.calls) == 2)
            ending = asyncio.create_task(served.end())
            body = b"".join([part async for part in wire.parts()])
            error = json.loads(body.split(b"\n\n")[-2].removeprefix(b"data: "))["error"]
            assert (error["code"], sorted(error)) == ("shutting_down", ["code", "message", "param", "type"])
            reply = await whole.reply()
            assert (reply.status, reply.error["code"]) == (503, "shutting_down")
            assert await asyncio.wait_for(ending, 5) == 0
        assert all(call.left.is_set() for call in engine.calls)
        assert [line["outcome"] for line in served.request_lines()] == ["shutting_down"] * 2


async def test_a_killed_worker_is_started_again_and_its_counters_live_on(tmp_path: Path) -> None:
    metrics = {"portico_requests_total", 'outcome="ok"'}
    async with EngineDouble() as engine, serve(engine, tmp_path, server={"workers": 2}) as served:
        for _ in range(20):
            assert (await served.chat()).status == 200
        await asyncio.sleep(0.5)  # workers hand over what they counted a few times a second
        assert await served.sum_of(*sorted(metrics, reverse=True)) == 20
        before = served.workers()
        assert len(before) == 2
        cpu, memory = "portico_process_cpu_seconds_total", "portico_process_resident_memory_bytes"
        used, resident = await served.sum_of(cpu), await served.sum_of(memory)
        assert used > 0
        os.kill(before[0], signal.SIGKILL)
        await eventually(lambda: len(served.workers()) == 2 and before[0] not in served.workers(), 6)
        assert await served.sum_of("portico_requests_total") == 20
        assert await served.sum_of(cpu) >= used  # that of the dead goes on to count
        await asyncio.sleep(1)
        assert resident / 2 < await served.sum_of(memory) < resident * 1.5  # and its memory does not
        good = 0
        for _ in range(20):
            try:
                good += (await served.chat(stream=True)).status == 200
            except (OSError, asyncio.IncompleteReadError):
                await asyncio.sleep(0.1)
        assert good >= 19
        await asyncio.sleep(0.5)
        assert await served.sum_of("portico_requests_total", 'outcome="ok"') == 20 + good
        assert await served.sum_of("portico_tokens_total", 'kind="prompt"') == 120 * (20 + good)
        for family in ("portico_request_duration_seconds", "portico_engine_time_seconds"):
            assert await served.sum_of(f"{family}_count") == 20 + good
            assert await served.sum_of(f"{family}_bucket", 'le="+Inf"') == 20 + good
        assert await served.sum_of("portico_time_to_first_token_seconds_count") == good
        assert await served.sum_of("portico_project_requests_total", 'project="default"') == 20 + good
        assert await served.sum_of("portico_in_flight_requests") == 0
        assert await served.sum_of("portico_engine_up") == 1
        assert await served.sum_of("portico_store_up") == 2
        assert await served.sum_of("portico_build_info") == 1
        assert await served.end() == 0


async def test_the_metrics_token(tmp_path: Path) -> None:
    async with EngineDouble() as engine, serve(engine, tmp_path, metrics={"token": "scrape-me"}) as served:
        assert " 200 " in (await served.metrics("scrape-me")).splitlines()[0]
        for token in (None, "wrong"):
            assert " 401 " in (await served.metrics(token)).splitlines()[0]
        assert await served.end() == 0


async def test_workers_end_with_a_parent_that_was_killed(tmp_path: Path) -> None:
    async with EngineDouble() as engine, serve(engine, tmp_path, server={"shutdown_grace_s": 0.2}) as served:
        (worker,) = served.workers()
        served.process.kill()
        await served.process.wait()
        await eventually(lambda: not Path(f"/proc/{worker}").exists() or "Z" in _state(worker), 8)


def _state(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().split(") ")[1][0]
    except OSError:
        return "Z"


async def test_a_second_signal_ends_open_calls_at_once(tmp_path: Path) -> None:
    async with EngineDouble() as engine, serve(engine, tmp_path, server={"shutdown_grace_s": 60}) as served:
        engine.always = hang(3)
        async with served.opened(stream=True) as wire:
            await wire.head()
            served.process.send_signal(signal.SIGINT)
            await asyncio.sleep(0.5)
            assert served.process.returncode is None
            ending = asyncio.create_task(served.end())
            body = b"".join([part async for part in wire.parts()])
            assert b"shutting_down" in body
            assert await ending == 0


async def test_a_worker_that_cannot_begin_ends_the_service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken/uvloop.py").write_text("def run(main):\n    main.close()\n    raise SystemExit('no loop')\n")
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path / 'broken'}:{Path.cwd()}")
    async with EngineDouble() as engine:
        with pytest.raises(AssertionError, match="ended as soon as it was started"):
            async with serve(engine, tmp_path):
                raise RuntimeError("it became ready")
