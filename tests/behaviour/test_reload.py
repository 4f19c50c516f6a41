"""The configuration of real processes is loaded anew, engines are drained by command: no call is lost by either."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import pty
import signal
import stat
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from server.commands.control import Refused, ask
from tests.behaviour.engine_double import EngineDouble, answer, hang
from tests.behaviour.processes import Served, serve
from tests.behaviour.serving import CHAT, KEY, MESSAGES, MODEL, eventually
from tests.behaviour.wire import Wire


async def command(served: Served, **request: str) -> str:
    """As the commands send it, without the time that a process needs to start."""
    return await asyncio.to_thread(ask, served.home / "run" / f"{served.port}.sock", request)


def change(served: Served, **sections: Any) -> None:
    """Write these into the configuration."""
    file = served.folder / "portico.yaml"
    tree = yaml.safe_load(file.read_text())
    for name, section in sections.items():
        tree[name] = {**tree.get(name, {}), **section}
    file.write_text(yaml.safe_dump(tree))


async def test_models_and_limits_change_while_calls_run(tmp_path: Path) -> None:
    """A stream that was open goes on to its end; a connection that was unused answers once more, by the old one."""
    async with EngineDouble() as engine, serve(engine, tmp_path) as served, Wire(served.port) as idle:
        await idle.request("POST", CHAT, {"model": MODEL, "messages": MESSAGES})
        assert (await idle.reply()).headers.get("connection") is None
        engine.always = answer(delay_s=0.3)
        async with served.opened(stream=True) as open_wire:
            await open_wire.head()
            (old,) = served.workers()
            change(served, models={"new-model": {"engines": ["one"], "engine_model": "gpt-oss-20b"}})
            assert await command(served, command="reload") == "The configuration was loaded anew."
            engine.always = None
            assert (await served.chat(model="new-model")).status == 200
            assert old in served.workers()
            await idle.request("POST", CHAT, {"model": MODEL, "messages": MESSAGES})
            last = await idle.reply()
            assert (last.status, last.headers["connection"]) == (200, "close")
            body = b"".join([part async for part in open_wire.parts()])
            assert body.endswith(b"data: [DONE]\n\n")
        await eventually(lambda: old not in served.workers(), 10)
        assert await served.sum_of("portico_requests_total", 'outcome="ok"') == 4
        assert await served.end() == 0


@contextlib.asynccontextmanager
async def load(served: Served) -> AsyncIterator[list[int]]:
    """Calls without a pause, kept connections and new ones; the statuses that they got."""
    statuses: list[int] = []
    over = asyncio.Event()

    async def kept() -> None:
        while not over.is_set():
            async with Wire(served.port) as wire:
                closed = False
                while not closed and not over.is_set():
                    await wire.request("POST", CHAT, {"model": MODEL, "messages": MESSAGES, "stream": True})
                    reply = await wire.reply()
                    statuses.append(reply.status)
                    closed = reply.headers.get("connection") == "close"

    async def anew() -> None:
        while not over.is_set():
            statuses.append((await served.chat()).status)

    tasks = [asyncio.create_task(work()) for work in (kept, kept, anew)]
    try:
        yield statuses
    finally:
        over.set()
        await asyncio.gather(*tasks)


async def test_no_call_is_lost_by_a_reload_under_load(tmp_path: Path) -> None:
    async with EngineDouble() as engine, serve(engine, tmp_path, server={"workers": 2}) as served:
        engine.always = answer(delay_s=0.02)
        async with load(served) as statuses:
            change(served, admission={"max_queue": 100})
            await command(served, command="reload")
            before = len(statuses)
            await eventually(lambda: len(statuses) > before + 20, 20)
        assert set(statuses) == {200}
        await asyncio.sleep(0.5)  # counts are handed over a few times a second
        assert await served.sum_of("portico_requests_total", 'outcome="ok"') == len(statuses)
        await eventually(lambda: len(served.workers()) == 2, 10)


async def test_a_bad_file_changes_nothing_and_is_told(tmp_path: Path) -> None:
    async with EngineDouble() as engine, serve(engine, tmp_path) as served:
        workers = served.workers()
        change(served, admission={"max_queue": -1})
        said = await served.portico("reload")
        assert (said.status, "admission.max_queue" in said.err) == (1, True)
        served.process.send_signal(signal.SIGHUP)
        await eventually(lambda: "not reloaded, the old configuration goes on" in served.log())
        assert "admission.max_queue" in served.log()
        assert served.workers() == workers
        assert (await served.chat()).status == 200


async def test_what_needs_a_restart_is_named(tmp_path: Path) -> None:
    async with EngineDouble() as engine, serve(engine, tmp_path) as served:
        change(served, server={"workers": 2}, logging={"requests": False})
        said = await served.portico("reload")
        assert (said.status, said.err) == (0, "")
        assert said.out.endswith("Of it these need a restart and are as before: server.workers.")
        before = len(served.request_lines())
        assert (await served.chat()).status == 200
        assert len(served.request_lines()) == before, "lines of requests were turned off"


async def test_sighup_reloads(tmp_path: Path) -> None:
    async with EngineDouble() as engine, serve(engine, tmp_path) as served:
        change(served, models={"new-model": {"engines": ["one"]}})
        served.process.send_signal(signal.SIGHUP)
        await eventually(lambda: "loaded anew" in served.log(), 20)
        assert (await served.chat(model="new-model")).status == 200


async def test_an_engine_is_drained_by_command(tmp_path: Path) -> None:
    async with EngineDouble() as engine, serve(engine, tmp_path) as served:
        engine.always = hang(1)
        async with served.opened(stream=True) as wire:
            await wire.head()
            said = await served.portico("engine", "drain", "one")
            assert said.status == 0, said.err
            await eventually(lambda: "drained" in served.log())
            assert (await served.chat()).error["code"] == "engine_unavailable"
        engine.always = None
        await command(served, command="undrain", engine="one")
        await eventually(lambda: "in use again" in served.log())
        assert (await served.chat()).status == 200
        with pytest.raises(Refused, match=r"No engine is called nobody\. Engines: one\."):
            await command(served, command="drain", engine="nobody")


async def test_a_drained_engine_stays_drained_over_a_reload(tmp_path: Path) -> None:
    async with EngineDouble() as engine, serve(engine, tmp_path) as served:
        await command(served, command="drain", engine="one")
        await command(served, command="reload")
        assert (await served.chat()).error["code"] == "engine_unavailable"


async def test_only_its_user_can_command_it(tmp_path: Path) -> None:
    async with EngineDouble() as engine, serve(engine, tmp_path) as served:
        folder = served.home / "run"
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert [one.name for one in folder.iterdir()] == [f"{served.port}.sock"]
        reader, writer = await asyncio.open_unix_connection(folder / f"{served.port}.sock")
        writer.write(b"[]\n")
        assert json.loads(await reader.read())["ok"] is False
        writer.close()
        assert await served.end() == 0
        assert list(folder.iterdir()) == []
        said = await served.portico("reload")
        assert (said.status, "not running" in said.err) == (1, True)
        assert KEY not in said.err


async def test_a_terminal_that_was_closed_ends_the_service(tmp_path: Path) -> None:
    master, slave = pty.openpty()
    async with EngineDouble() as engine, serve(engine, tmp_path) as template:
        assert await template.end() == 0
        process = await template.run_on(slave)
        os.close(slave)
        ready = b""
        while b"Portico is ready" not in ready:
            ready += await asyncio.to_thread(os.read, master, 4096)
        os.close(master)
        process.send_signal(signal.SIGHUP)
        assert await asyncio.wait_for(process.wait(), 20) == 0
