"""Logs on standard output: one line per request, JSON or text. No bodies, no keys.

Lines are written together a few times a second: a system call per request would be a tenth of its cost.
"""

from __future__ import annotations

import logging
import os
import select
from datetime import UTC, datetime
from random import random
from time import time
from typing import Any

import msgspec

from server.call import Call
from server.telemetry.log_lines import CallLine, DecisionLine, RefusalLine

MAX_LINES = 512
PIECE = select.PIPE_BUF  # bytes that are written to a pipe all at once or not at all
CLEAR_LINE = "\r\x1b[K"
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
        """In pieces that a pipe takes whole, cut at line ends: several workers may write to the same one."""
        lines, self._lines = self._lines, []
        piece: list[bytes] = []
        size = 0
        for line in lines:
            if size + len(line) + 1 > PIECE:
                self._write(piece)
                piece, size = [], 0
            piece.append(line)
            size += len(line) + 1
        self._write(piece)

    def _write(self, piece: list[bytes]) -> None:
        data = b"\n".join((*piece, b""))
        while data:
            try:
                data = data[os.write(self._fd, data) :]
            except OSError:  # a closed pipe or a full disk must not end the service
                return

    def tick(self, now: float) -> None:
        if self._lines:
            self.flush()


class RequestLog:
    """`successes`: the share of good requests that have a line."""

    def __init__(self, writer: LogWriter | None, *, requests: bool, as_json: bool, successes: float = 1.0) -> None:
        self._writer = writer if requests else None
        self._successes = successes
        self._decisions = writer
        self._json = as_json

    def finished(self, call: Call) -> None:
        if self._writer is None or self._left_out(call.outcome):
            return
        end = call.finished or call.received
        tokens = call.tokens
        self._write(
            CallLine(
                round(time(), 3),
                "request",
                call.id,
                call.trace_id,
                call.client_request_id,
                call.key.name,
                call.endpoint,
                call.model.id,
                call.engine,
                call.status,
                call.outcome,
                call.stream,
                round((end - call.received) * 1000, 2),
                round((call.first_token - call.received) * 1000, 2) if call.first_token else None,
                tokens.prompt if tokens else None,
                tokens.completion if tokens else call.streamed or None,
                call.estimated,
                call.retries,
            )
        )

    def refused(
        self, request_id: str, endpoint: str, status: int, outcome: str, seconds: float, trace_id: str | None = None
    ) -> None:
        if self._writer is not None and not self._left_out(outcome):
            ms = round(seconds * 1000, 2)
            self._write(RefusalLine(round(time(), 3), "request", request_id, trace_id, endpoint, status, outcome, ms))

    def decided(self, line: DecisionLine) -> None:
        """Whether or not requests have lines."""
        if self._decisions is not None:
            self._decisions.write(_encode(line) if self._json else _decision_text(line))

    def _left_out(self, outcome: str) -> bool:
        return self._successes < 1 and outcome == "ok" and random() >= self._successes  # noqa: S311

    def _write(self, line: CallLine | RefusalLine) -> None:
        if self._writer is not None:
            self._writer.write(_encode(line) if self._json else _text(line))


def _text(line: CallLine | RefusalLine) -> bytes:
    """One readable line for a terminal."""
    clock = datetime.fromtimestamp(line.ts, UTC).astimezone().strftime("%H:%M:%S")
    parts = [clock, str(line.status), f"{line.ms:8.1f} ms", line.endpoint]
    if isinstance(line, CallLine):
        parts.append(line.model)
        if line.ttft_ms is not None and line.stream:
            parts.append(f"first token {line.ttft_ms:.1f} ms")
        if line.completion_tokens is not None:
            prompt = "?" if line.prompt_tokens is None else line.prompt_tokens
            parts.append(f"{prompt}+{line.completion_tokens} tokens")
    if line.outcome != "ok":
        parts.append(line.outcome)
    return "  ".join(parts).encode()


def _decision_text(line: DecisionLine) -> bytes:
    clock = datetime.fromtimestamp(line.ts, UTC).astimezone().strftime("%H:%M:%S")
    rules = ", ".join(dict.fromkeys(one.rule for one in line.matches))
    return f"{clock}  moderation: {line.action} {line.direction} of {line.id} by {line.policy}: {rules}".encode()


class LineFormatter(logging.Formatter):
    """Everything else that is logged, in the same form. Exceptions go out as their type, never their text or locals.

    A text line `on_terminal` takes the place of the progress line that may stand there.
    """

    def __init__(self, *, as_json: bool, on_terminal: bool = False) -> None:
        super().__init__()
        self._json = as_json
        self._before = CLEAR_LINE if on_terminal else ""

    def format(self, record: logging.LogRecord) -> str:
        facts: dict[str, Any] = {
            "ts": round(record.created, 3),
            "level": record.levelname.lower(),
            "msg": record.getMessage().split("\n", 1)[0],  # asyncio puts the values of a failed task below
        }
        request_id = getattr(record, "request_id", None)
        if request_id is not None:
            facts["id"] = request_id
            facts["trace_id"] = getattr(record, "trace_id", None)
        if record.exc_info and record.exc_info[0] is not None:
            facts["exception"] = record.exc_info[0].__name__
            facts["at"] = _where(record)
        if self._json:
            return _encode(facts).decode()
        where = f"  {facts['exception']} at {facts['at']}" if "exception" in facts else ""
        clock = datetime.fromtimestamp(record.created, UTC).astimezone().strftime("%H:%M:%S")
        which = f"  {request_id}" if request_id else ""
        return f"{self._before}{clock}  {facts['msg']}{where}{which}"


def _where(record: logging.LogRecord) -> str:
    """File and line of each frame: enough to find a bug, without the values."""
    traceback = record.exc_info[2] if record.exc_info else None
    frames: list[str] = []
    while traceback is not None:
        frames.append(f"{os.path.basename(traceback.tb_frame.f_code.co_filename)}:{traceback.tb_lineno}")  # noqa: PTH119
        traceback = traceback.tb_next
    return " > ".join(frames[-8:])
