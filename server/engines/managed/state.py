"""$PORTICO_HOME/engine.json: which engine runs, for `portico engine status`. It holds no secret."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Literal

import msgspec

State = Literal["starting", "ready", "down", "failed", "stopped"]


class EngineState(msgspec.Struct, frozen=True):
    """What a person or the gateway wants to know about the engine, at one moment."""

    state: State
    seconds: float = 0.0  # in this state
    phase: str = ""  # of a start: "importing vLLM", "loading weights", ...
    detail: str = ""  # why it is down or failed, one line
    retry_after_s: float = 0.0  # until the next start, where it is down or failed


class EngineRecord(msgspec.Struct, frozen=True):
    """The state file."""

    supervisor_pid: int
    supervisor_began: int  # /proc/PID/stat's start time: a number used again is another process
    engine_pid: int | None
    port: int
    model: str
    state: State
    since: float  # Unix time
    detail: str = ""
    log: str = ""


def process_began(pid: int) -> int:
    """When a process started, in clock ticks since boot; 0 where there is none."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
        return 0 if fields[0] in (b"Z", b"X") else int(fields[19])
    except (OSError, IndexError, ValueError):
        return 0


def write_record(path: Path, record: EngineRecord) -> None:
    """Replace the file in one step, readable for its owner only. A home that cannot be written does no harm."""
    new = path.with_name(f"{path.name}.{os.getpid()}")
    with contextlib.suppress(OSError):
        new.touch(mode=0o600)
        new.write_bytes(msgspec.json.encode(record) + b"\n")
        new.replace(path)


def read_record(path: Path) -> EngineRecord | None:
    """The record of an engine whose Portico still runs; None for none, an unreadable or a stale one."""
    try:
        record = msgspec.json.decode(path.read_bytes(), type=EngineRecord)
    except (OSError, msgspec.DecodeError):
        return None
    began = process_began(record.supervisor_pid)
    return record if began and began == record.supervisor_began else None


def remove_record(path: Path) -> None:
    """Remove the file where it is this process's own."""
    record = read_record(path)
    if record is not None and record.supervisor_pid == os.getpid():
        path.unlink(missing_ok=True)
