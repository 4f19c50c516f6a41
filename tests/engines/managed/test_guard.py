"""Whatever is killed, nothing of the engine stays behind."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from server.engines.managed.life import GUARD
from tests.engines.managed.conftest import alive, eventually, lives

PARENT = """
import os, subprocess, sys, time
read, write = os.pipe()
guard = subprocess.Popen([sys.executable, "-I", "-S", *sys.argv[1:]], stdin=read, start_new_session=True)
os.close(read)
if "leak" in os.environ:
    holder = subprocess.Popen(["/bin/sleep", "30"], pass_fds=[write])
print(guard.pid, flush=True)
time.sleep(600)
"""


class Family:
    """A parent that holds the pipe, its guard, the fake API server and the grandchild."""

    def __init__(self, python: Path, tmp_path: Path, *options: str, grace: str = "1") -> None:
        command = [sys.executable, "-c", PARENT, str(GUARD), grace, str(python), *options]
        self.parent = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self.parent.stdout is not None
        self.guard = int(self.parent.stdout.readline())
        assert eventually(lambda: bool(lives(tmp_path / "pids")))
        self.engine, self.grandchild = lives(tmp_path / "pids")[0]
        time.sleep(0.2)

    def gone(self, within_s: float = 10.0) -> bool:
        return eventually(lambda: not any(alive(pid) for pid in (self.guard, self.engine, self.grandchild)), within_s)

    def end(self) -> None:
        for pid in (self.engine, self.grandchild, self.guard):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.parent.kill()
        self.parent.wait()


@pytest.fixture(params=[(), ("--deaf=1",), ("--apart=1",)], ids=["polite", "deaf to TERM", "child in its own session"])
def family(request: pytest.FixtureRequest, fake_python: Path, tmp_path: Path) -> Iterator[Family]:
    made = Family(fake_python, tmp_path, *request.param)
    yield made
    made.end()


def test_parent_killed(family: Family) -> None:
    family.parent.kill()
    assert family.gone()


def test_engine_killed(family: Family) -> None:
    os.kill(family.engine, signal.SIGKILL)
    assert family.gone()


def test_guard_asked_to_end(family: Family) -> None:
    os.kill(family.guard, signal.SIGTERM)
    assert family.gone()


@pytest.mark.parametrize("options", [(), ("--deaf=1",)])
def test_guard_killed(options: tuple[str, ...], fake_python: Path, tmp_path: Path) -> None:
    family = Family(fake_python, tmp_path, *options)
    try:
        os.kill(family.guard, signal.SIGKILL)
        assert family.gone()
    finally:
        family.end()


def test_parent_killed_while_another_process_has_the_pipe(
    fake_python: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("leak", "1")
    family = Family(fake_python, tmp_path)
    try:
        family.parent.kill()
        assert family.gone()
    finally:
        family.end()


def test_guard_and_parent_killed_together(fake_python: Path, tmp_path: Path) -> None:
    family = Family(fake_python, tmp_path)
    try:
        family.parent.kill()
        os.kill(family.guard, signal.SIGKILL)
        assert family.gone()
    finally:
        family.end()


def test_a_command_that_does_not_exist_is_reported(tmp_path: Path) -> None:
    guard = [sys.executable, "-I", "-S", str(GUARD), "1", str(tmp_path / "nothing")]
    told = subprocess.run(guard, stdin=subprocess.PIPE, capture_output=True, text=True, timeout=20, check=False)
    assert told.stdout == "exited 127\n"
    assert "No such file" in told.stderr


def test_it_is_up_quickly(tmp_path: Path) -> None:
    """Nothing but the standard library, without site: 80 ms of processor time is generous."""
    began = os.times()
    subprocess.run(
        [sys.executable, "-I", "-S", str(GUARD), "1", "/bin/true"], stdin=subprocess.PIPE, timeout=20, check=True
    )
    ended = os.times()
    assert ended.children_user + ended.children_system - began.children_user - began.children_system < 0.3
