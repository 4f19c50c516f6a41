from __future__ import annotations

import asyncio
import http.server
import os
import signal
import socket
import stat
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from server.engines.managed import health, logs
from server.engines.managed.backoff import Backoff
from server.engines.managed.errors import EngineSetupError
from server.engines.managed.install import Installed
from server.engines.managed.launch import command, environment
from server.engines.managed.plan import Plan
from server.engines.managed.state import EngineState, read_record
from server.engines.managed.supervisor import EngineSupervisor
from tests.engines.managed.conftest import alive, eventually, lives

KEY = "sk-not-for-logs"


def make_plan(*args: str, port: int = 0) -> Plan:
    return Plan("cpu", "gpt-oss-demo", "/m", "gpt-oss-demo", "d", 8192, 64, "because", args=args, port=port)


class Watched:
    """A supervisor over the fake engine, and the states it told."""

    def __init__(self, python: Path, tmp_path: Path, plan: Plan) -> None:
        self.told: list[EngineState] = []
        self.log, self.record = tmp_path / "logs/engine.log", tmp_path / "engine.json"
        self.engine = EngineSupervisor(
            plan, Installed(python, None), self.log, KEY, self.told.append,
            record_path=self.record, backoff=Backoff(0.1, 0.2),
        )  # fmt: skip

    def names(self) -> list[str]:
        """States without repetition."""
        names = [state.state for state in self.told]
        return [name for number, name in enumerate(names) if number == 0 or names[number - 1] != name]


def parent_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


async def until(condition: Callable[[], bool], within_s: float = 15.0) -> None:
    async with asyncio.timeout(within_s):
        while not condition():  # noqa: ASYNC110 - any condition, not an event
            await asyncio.sleep(0.05)


def test_start_crash_restart_stop(fake_python: Path, tmp_path: Path) -> None:
    async def scenario() -> None:
        watched = Watched(fake_python, tmp_path, make_plan())
        await watched.engine.start()
        async with asyncio.timeout(15):
            await watched.engine.wait_ready()
        record = read_record(watched.record)
        assert record is not None
        assert (record.state, record.port, record.model) == ("ready", watched.engine.port, "gpt-oss-demo")
        assert stat.S_IMODE(watched.record.stat().st_mode) == 0o600
        os.kill(lives(tmp_path / "pids")[0][0], signal.SIGKILL)
        await until(lambda: watched.names() == ["starting", "ready", "down", "starting", "ready"])
        down = next(state for state in watched.told if state.state == "down")
        assert "killed" in down.detail
        assert down.retry_after_s == pytest.approx(0.1)
        await watched.engine.stop()
        await watched.engine.stop()
        assert watched.names()[-1] == "stopped"
        assert not watched.record.exists()
        assert KEY not in watched.log.read_text()

    asyncio.run(scenario())
    assert len(lives(tmp_path / "pids")) == 2
    assert eventually(lambda: not any(alive(pid) for pair in lives(tmp_path / "pids") for pid in pair))


def test_a_killed_guard_is_a_crash_like_any_other(fake_python: Path, tmp_path: Path) -> None:
    async def scenario() -> None:
        watched = Watched(fake_python, tmp_path, make_plan())
        await watched.engine.start()
        async with asyncio.timeout(15):
            await watched.engine.wait_ready()
        engine = lives(tmp_path / "pids")[0][0]
        os.kill(parent_of(engine), signal.SIGKILL)
        # DEL.rpartition(")")[2].split()[1]), signal.SIGKILL)
        await until(lambda: watched.names()[-1] == "ready" and len(lives(tmp_path / "pids")) == 2)
        await watched.engine.stop()

    asyncio.run(scenario())
    assert eventually(lambda: not any(alive(pid) for pair in lives(tmp_path / "pids") for pid in pair))


def test_a_failed_first_start_is_explained_and_tried_again(fake_python: Path, tmp_path: Path) -> None:
    async def scenario() -> None:
        watched = Watched(fake_python, tmp_path, make_plan("--fails=1"))
        await watched.engine.start()
        with pytest.raises(EngineSetupError, match=r"did not start: vLLM does not take its arguments .*--fails"):
            async with asyncio.timeout(15):
                await watched.engine.wait_ready()
        await until(lambda: len(lives(tmp_path / "pids")) == 3)
        await watched.engine.stop()
        assert "failed" in watched.names()
        assert "ready" not in watched.names()

    asyncio.run(scenario())


def test_stop_in_mid_start_leaves_nothing(fake_python: Path, tmp_path: Path) -> None:
    async def scenario() -> None:
        plan = make_plan("--deaf=1")
        watched = Watched(fake_python, tmp_path, plan)
        await watched.engine.start()
        await until(lambda: bool(lives(tmp_path / "pids")))
        async with asyncio.timeout(8):
            await watched.engine.stop()

    asyncio.run(scenario())
    assert eventually(lambda: not any(alive(pid) for pair in lives(tmp_path / "pids") for pid in pair))


def test_a_taken_port_is_one_line(fake_python: Path, tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        watched = Watched(fake_python, tmp_path, make_plan(port=port))
        with pytest.raises(EngineSetupError, match=f"Port {port} .* is taken.*engines.local.managed.port"):
            asyncio.run(watched.engine.start())
    assert lives(tmp_path / "pids") == []


def test_a_home_that_cannot_be_written_is_one_line(fake_python: Path, tmp_path: Path) -> None:
    async def scenario() -> None:
        (tmp_path / "logs").write_text("a file where the folder should be")
        with pytest.raises(
            EngineSetupError, match=r"logs/engine\.log: .* cannot be written: File exists; set PORTICO_HOME"
        ):
            await Watched(fake_python, tmp_path, make_plan()).engine.start()

    asyncio.run(scenario())


def test_a_missing_engine_is_one_line(tmp_path: Path) -> None:
    async def scenario() -> None:
        watched = Watched(tmp_path / "nowhere/python", tmp_path, make_plan())
        await watched.engine.start()
        with pytest.raises(EngineSetupError, match="No such file"):
            async with asyncio.timeout(15):
                await watched.engine.wait_ready()
        await watched.engine.stop()

    asyncio.run(scenario())


def test_command_and_environment() -> None:
    plan = Plan(
        "cpu", "gpt-oss-demo", None, "gpt-oss-demo", "d", 8192, 64, "r", args=("--seed=1", "--port=1"),
        env={"A": "preset", "B": "preset"}, adapters={"polite": "/a"}, offline=True,
    )  # fmt: skip
    line = command(plan, Installed(Path("/e/bin/python"), Path("/models/demo")), 8100)
    assert line[:3] == ["/e/bin/python", "-m", "vllm.entrypoints.openai.api_server"]
    assert line[-4:] == ["--model=/models/demo", "--served-model-name=gpt-oss-demo", "--host=127.0.0.1", "--port=8100"]
    assert line[line.index("--lora-modules") + 1] == "polite=/a"
    assert not any(KEY in part for part in line)
    given = environment(
        plan, KEY, {"A": "person", "PORTICO_API_KEY": "secret", "PYTHONPATH": "/x", "VLLM_API_KEY": "old"}
    )
    assert given["VLLM_API_KEY"] == KEY
    assert (given["A"], given["B"], given["HF_HUB_OFFLINE"]) == ("person", "preset", "1")
    assert "PORTICO_API_KEY" not in given
    assert "PYTHONPATH" not in given


def test_logs_rotate_and_keep_three(tmp_path: Path) -> None:
    log = tmp_path / "engine.log"
    for number in range(5):
        log.write_text(f"{number}" * 10)
        logs.rotate(log, at_bytes=10)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["engine.log.1", "engine.log.2"]
    assert (tmp_path / "engine.log.1").read_text() == "4" * 10
    log.write_text("small")
    logs.rotate(log, at_bytes=10)
    assert log.read_text() == "small"


def test_a_follower_gives_what_was_added(tmp_path: Path) -> None:
    log = tmp_path / "engine.log"
    log.write_text("of an earlier start\n")
    follower = logs.Follower(log)
    with log.open("a") as file:
        file.write("one\ntw")
    assert follower.lines() == ["one"]
    with log.open("a") as file:
        file.write("o\n")
    assert follower.lines() == ["two"]
    assert follower.tail() == "one\ntwo\n"


def test_a_stale_or_broken_record_is_none(tmp_path: Path) -> None:
    record = tmp_path / "engine.json"
    assert read_record(record) is None
    record.write_text("{")
    assert read_record(record) is None
    record.write_text(
        f'{{"supervisor_pid": {os.getpid()}, "supervisor_began": 1, "engine_pid": null, "port": 1, "model": "m", '
        '"state": "ready", "since": 1.0}'
    )
    assert read_record(record) is None, "the number was used again by another process"


def test_two_porticos_do_not_share_a_port(fake_python: Path, tmp_path: Path) -> None:
    """Not even while the first one's engine has not begun to listen."""

    async def scenario() -> None:
        first = Watched(fake_python, tmp_path, make_plan())
        await first.engine.start()
        second = Watched(fake_python, tmp_path / "second", make_plan(port=first.engine.port))
        with pytest.raises(EngineSetupError, match=f"Port {first.engine.port} .* belongs to the engine of another"):
            await second.engine.start()
        await first.engine.stop()
        await second.engine.start()
        await second.engine.stop()

    asyncio.run(scenario())


class OtherEngine(http.server.BaseHTTPRequestHandler):
    """Well, and somebody else's."""

    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/health" else 401)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None: ...


def test_another_engine_is_not_taken_for_ours(fake_python: Path, tmp_path: Path) -> None:
    """Nor does it get the key: what took the port before a start is seen, and what takes it later is asked."""

    async def scenario(server: http.server.ThreadingHTTPServer) -> None:
        port = server.server_address[1]
        watched = Watched(fake_python, tmp_path, make_plan("--mute=1", port=0))
        watched.engine._port = port  # as if it had been free when the port was chosen
        watched.engine._log_path.parent.mkdir(parents=True, exist_ok=True)
        healthy_s, why = await watched.engine._live()
        assert healthy_s == 0
        assert f"Port {port} on 127.0.0.1 is taken" in why
        assert await health.healthy("127.0.0.1", port) is True
        assert await health.ours("127.0.0.1", port, KEY) is False
        assert watched.names() == ["starting"]

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), OtherEngine) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        asyncio.run(scenario(server))
        server.shutdown()
