"""A stand-in for vLLM: a Python script with a child of its own, so that orphans can be looked for."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

FAKE_ENGINE = """
import http.server, os, pathlib, signal, subprocess, sys, time

options = dict(arg.split("=", 1) for arg in sys.argv[1:] if arg.startswith("--") and "=" in arg)
pids = pathlib.Path(os.environ["FAKE_PIDS"])
if options.get("--deaf"):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
sleeper = "import time,signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"
child = subprocess.Popen([sys.executable, "-c", sleeper], start_new_session=bool(options.get("--apart")))
with pids.open("a") as file:
    file.write(f"{os.getpid()} {child.pid}\\n")
print("Starting to load model", options.get("--model"), flush=True)
if options.get("--fails"):
    sys.exit("api_server.py: error: unrecognized arguments: --fails")

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
    def log_message(self, *args):
        pass

if "--port" in options:
    http.server.ThreadingHTTPServer(("127.0.0.1", int(options["--port"])), Handler).serve_forever()
time.sleep(600)
"""


@pytest.fixture
def fake_python(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Something to be called as `python -m vllm...`; it notes "api-server grandchild" in `tmp_path/pids`."""
    (tmp_path / "fake_engine.py").write_text(FAKE_ENGINE)
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\nexec {sys.executable} {tmp_path / "fake_engine.py"} "$@"\n')
    python.chmod(0o755)
    monkeypatch.setenv("FAKE_PIDS", str(tmp_path / "pids"))
    return python


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[0] not in (b"Z", b"X")
    except OSError:
        return False


def eventually(condition: Callable[[], bool], within_s: float = 10.0) -> bool:
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.05)
    return condition()


def lives(pids_file: Path) -> list[tuple[int, int]]:
    """(API server, grandchild) of each start so far."""
    if not pids_file.exists():
        return []
    pairs = (line.split() for line in pids_file.read_text().splitlines())
    return [(int(pair[0]), int(pair[1])) for pair in pairs if len(pair) == 2]
