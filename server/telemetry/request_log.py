"""Logs on standard output: one line per request, JSON or text. No bodies, no keys.

Lines are written together a few times a second: a system call per request would be a tenth of its cost.
"""

from __future__ import annotations

import logging
import os
from datetime import UTC, datetime
from time import time
from typing import Any

import msgspec

from server.call import Call

MAX_LINES = 512
_encode = msgspec.json.Encoder().encode


class LogWriter:
    """Buffers lines for a file descriptor; flushed by the watchdog, when full, and at the end."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._lines: list[bytes] = []

    def write(self, line: bytes) -> None:
        self._lines.append(line)
        if len(self._lines) >= MAX_LINES:
            self.flush()

    def flush(self) -> None:
        data = b"\n".join((*self._lines, b""))
        self._lines.clear()
        while data:
            try:
                data = data[os.write(self._fd, data) :]
            except OSError:  # a closed pipe or a full disk must not end the service
                return

    def tick(self, now: float) -> None:
        if self._lines:
            self.flush()


class RequestLog:
    def __init__(self, writer: LogWriter | None, *, as_json: bool) -> None:
        self._writer = writer
        self._json = as_json

    def finished(self, call: Call) -> None:
        if self._writer is None:
            return
        end = call.finished or call.received
        tokens = call.tokens
        self._write(
            {
                "ts": round(time(), 3),
                "msg": "request",
                "id": call.id,
                "client_id": call.client_request_id,
                "key": call.key.name,
                "endpoint": call.endpoint,
                "model": call.model.id,
                "engine": call.engine,
                "status": call.status,
                "outcome": call.outcome,
                "stream": call.stream,
                "ms": round((end - call.received) * 1000, 2),
                "ttft_ms": round((call.first_token - call.received) * 1000, 2) if call.first_token else None,
                "prompt_tokens": tokens.prompt if tokens else None,
                "completion_tokens": tokens.completion if tokens else None,
                "retries": call.retries,
            }
        )

    def refused(self, request_id: str, endpoint: str, status: int, outcome: str, seconds: float) -> None:
        if self._writer is not None:
            self._write(
                {
                    "ts": round(time(), 3),
                    "msg": "request",
                    "id": request_id,
                    "endpoint": endpoint,
                    "status": status,
                    "outcome": outcome,
                    "ms": round(seconds * 1000, 2),
                }
            )

    def _write(self, facts: dict[str, Any]) -> None:
        if self._writer is None:
            return
        self._writer.write(_encode(facts) if self._json else _text(facts))


def _text(facts: dict[str, Any]) -> bytes:
    """One readable line for a terminal."""
    clock = datetime.fromtimestamp(facts["ts"], UTC).astimezone().strftime("%H:%M:%S")
    parts = [clock, str(facts["status"]), f"{facts['ms']:8.1f} ms", facts["endpoint"]]
    if facts.get("model"):
        parts.append(facts["model"])
    if facts.get("ttft_ms") is not None and facts.get("stream"):
        parts.append(f"first token {facts['ttft_ms']:.1f} ms")
    if facts.get("completion_tokens") is not None:
        parts.append(f"{facts['prompt_tokens']}+{facts['completion_tokens']} tokens")
    if facts["outcome"] != "ok":
        parts.append(facts["outcome"])
    return "  ".join(parts).encode()


class LineFormatter(logging.Formatter):
    """Everything else that is logged, in the same form. Exceptions go out as their type, never their text or locals."""

    def __init__(self, *, as_json: bool) -> None:
        super().__init__()
        self._json = as_json

    def format(self, record: logging.LogRecord) -> str:
        facts: dict[str, Any] = {
            "ts": round(record.created, 3),
            "level": record.levelname.lower(),
            "msg": record.getMessage().split("\n", 1)[0],  # asyncio puts the values of a failed task below
        }
        if record.exc_info and record.exc_info[0] is not None:
            facts["exception"] = record.exc_info[0].__name__
            facts["at"] = _where(record)
        if self._json:
            return _encode(facts).decode()
        where = f"  {facts['exception']} at {facts['at']}" if "exception" in facts else ""
        clock = datetime.fromtimestamp(record.created, UTC).astimezone().strftime("%H:%M:%S")
        return f"{clock}  {facts['msg']}{where}"


def _where(record: logging.LogRecord) -> str:
    """File and line of each frame: enough to find a bug, without the values."""
    traceback = record.exc_info[2] if record.exc_info else None
    frames: list[str] = []
    while traceback is not None:
        frames.append(f"{os.path.basename(traceback.tb_frame.f_code.co_filename)}:{traceback.tb_lineno}")  # noqa: PTH119
        traceback = traceback.tb_next
    return " > ".join(frames[-8:])
