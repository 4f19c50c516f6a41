from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unicodedata import east_asian_width

import pytest
from prometheus_client import CollectorRegistry

from server.cli import main
from server.commands.status import lines
from server.telemetry.exposition import MetricsListener
from server.telemetry.status import EVERY_S, StatusFile, read_status

FACTS: dict[str, Any] = {
    "engines": {
        "local": {"up": True, "drained": False, "breaker": "closed", "in_flight": 3, "max_in_flight": 32}
    },
    "queue": [
        {
            "priority": "standard", "tenant": "proj_1", "weight": 2.0, "counter": 1234.5, "waiting": 7, "running": 3,
            "longest_wait_s": 4.2,
        }
    ],
    "limits": {"degraded": False},
    "usage": {"waiting": 12},
}  # fmt: skip


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A metrics listener over a folder, which the configuration names."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        monkeypatch.setenv("PORTICO__METRICS__PORT", str(listener.getsockname()[1]))
        one = MetricsListener(tmp_path, listener, "s3cr3t", CollectorRegistry())
        one.start()
        yield tmp_path
        one.stop()


def test_written_whole_and_read(tmp_path: Path) -> None:
    for slot in (1, 0, 10):
        file = StatusFile(tmp_path, slot, lambda slot=slot: FACTS | {"slot": slot})
        file.tick(EVERY_S)
    (tmp_path / "status-3.new").write_text("half")
    assert [one["slot"] for one in json.loads(read_status(tmp_path))["workers"]] == [0, 1, 10]


def test_not_more_often_than_once_a_second(tmp_path: Path) -> None:
    asked: list[None] = []

    def facts() -> dict[str, Any]:
        asked.append(None)
        return FACTS

    file = StatusFile(tmp_path, 0, facts)
    for tenth in range(10, 40):
        file.tick(tenth / 10)
    assert len(asked) == 3


def test_a_full_disk_ends_nothing(tmp_path: Path) -> None:
    StatusFile(tmp_path / "gone", 0, lambda: FACTS).tick(EVERY_S)


def test_for_people() -> None:
    text = "\n".join(lines([FACTS, FACTS]))
    for part in ("workers    2", "local: up, 6 of 64 in flight", "limits     ok", "24 records", "14 calls wait"):
        assert part in text
    for part in ("standard", "proj_1", "2,469", "14", "6"):  # both workers together
        assert part in text.splitlines()[-1]
    down = FACTS | {"engines": {"local": FACTS["engines"]["local"] | {"up": False}}, "limits": {"degraded": True}}
    assert "local: down" in "\n".join(lines([down]))
    assert "up for 1 of 2 workers" in "\n".join(lines([down, FACTS]))
    ill = FACTS | {"engines": {"local": FACTS["engines"]["local"] | {"drained": True, "breaker": "open"}}}
    assert "local: up, drained, failing for 1 of 2 workers, 6 of 64" in "\n".join(lines([ill, FACTS]))
    assert "without their shared store" in "\n".join(lines([down]))


def test_no_worker_yet(served: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("PORTICO__METRICS__TOKEN", "s3cr3t")
    assert main(["status"]) == 0
    assert capsys.readouterr().out.startswith("workers    none has begun yet")
    assert main(["status", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"workers": []}


@pytest.mark.parametrize("project", ["proj_1", "proj_" + "x" * 123, "\u6d4b\u8bd5" * 40], ids=["short", "long", "wide"])
@pytest.mark.parametrize("columns", [80, 100, None])
def test_the_queue_fits_a_terminal(project: str, columns: int | None) -> None:
    standing = FACTS["queue"][0] | {"tenant": project, "counter": 123_456_789.0, "priority": "interactive"}
    *_, heads, row = lines([FACTS | {"queue": [standing]}], columns)
    assert "interactive" in row and "123,456,789" in row
    if columns is None:
        assert project in row
    for line in (heads, row):
        assert columns is None or sum(2 if east_asian_width(one) in "WF" else 1 for one in line) <= columns
    assert (project in row) == (columns is None or project == "proj_1")


def test_the_command(served: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    StatusFile(served, 0, lambda: FACTS).tick(EVERY_S)
    assert main(["status"]) == 1
    assert "answers 401" in capsys.readouterr().err
    monkeypatch.setenv("PORTICO__METRICS__TOKEN", "s3cr3t")
    assert main(["status"]) == 0
    assert "7 calls wait" in capsys.readouterr().out
    assert main(["status", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"workers": [FACTS]}


def test_nothing_runs(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        monkeypatch.setenv("PORTICO__METRICS__PORT", str(free.getsockname()[1]))
        assert main(["status"]) == 1
    told = capsys.readouterr().err
    assert "not running" in told
    assert len(told.strip().splitlines()) == 1


@pytest.mark.parametrize(
    "said", [b"SSH-2.0-other\r\n", b"HTTP/1.0 200 OK\r\n\r\n<html>", b'HTTP/1.0 200 OK\r\n\r\n{"status": "up"}']
)
def test_something_else_answers(
    said: bytes, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        monkeypatch.setenv("PORTICO__METRICS__PORT", str(listener.getsockname()[1]))

        def answer() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(1000)
                connection.sendall(said)

        thread = threading.Thread(target=answer)
        thread.start()
        assert main(["status"]) == 1
        thread.join()
    told = capsys.readouterr()
    assert told.out == "" and told.err.startswith("portico: ") and told.err.count("\n") == 1
