from __future__ import annotations

import json
import logging
import os
import sys
import threading

from server.call import Call, Key, Project, ServedModel, Tokens
from server.config import Model
from server.telemetry.request_log import MAX_LINES, LineFormatter, LogWriter, RequestLog


def lines(act: object) -> list[bytes]:
    read, write = os.pipe()
    writer = LogWriter(write)
    act(writer)  # type: ignore[operator]
    writer.flush()
    os.close(write)
    with os.fdopen(read, "rb") as pipe:
        return pipe.read().splitlines()


def call() -> Call:
    model = ServedModel("m", Model(engines=("e",)), 1)
    one = Call(
        "req_1",
        "chat.completions",
        Key("key_1", "k", Project("proj_1", "one")),
        model,
        object(),
        stream=True,
        include_usage=False,
        received=1.0,
    )
    one.first_token, one.finished, one.status, one.tokens = 1.25, 2.0, 200, Tokens(3, 4)
    return one


def test_json() -> None:
    def act(writer: LogWriter) -> None:
        log = RequestLog(writer, requests=True, as_json=True)
        log.finished(call())
        log.refused("req_2", "completions", 401, "unauthorized", 0.001)

    first, second = map(json.loads, lines(act))
    assert (first["ms"], first["ttft_ms"], first["prompt_tokens"]) == (1000.0, 250.0, 3)
    assert (second["status"], second["outcome"], second["id"]) == (401, "unauthorized", "req_2")


def test_text() -> None:
    def act(writer: LogWriter) -> None:
        log = RequestLog(writer, requests=True, as_json=False)
        log.finished(call())
        log.refused("req_2", "completions", 401, "unauthorized", 0.001)

    first, second = lines(act)
    assert b"3+4 tokens" in first and b"first token 250.0 ms" in first
    assert b"401" in second and b"unauthorized" in second


def test_a_call_whose_usage_never_came() -> None:
    one = call()
    one.tokens, one.streamed, one.outcome = None, 7, "client_gone"
    assert (
        json.loads(lines(lambda writer: RequestLog(writer, requests=True, as_json=True).finished(one))[0])[
            "completion_tokens"
        ]
        == 7
    )
    (text,) = lines(lambda writer: RequestLog(writer, requests=True, as_json=False).finished(one))
    assert b"?+7 tokens" in text and b"client_gone" in text


def test_a_line_takes_the_place_of_a_progress_line_on_a_terminal() -> None:
    record = logging.LogRecord("portico", logging.INFO, "", 0, "engine local is up", None, None)
    assert LineFormatter(as_json=False, on_terminal=True).format(record).startswith("\r\x1b[K")
    assert LineFormatter(as_json=False).format(record)[0].isdigit()
    assert LineFormatter(as_json=True, on_terminal=True).format(record).startswith("{")


def test_full_buffers_are_written() -> None:
    read, write = os.pipe()
    writer = LogWriter(write)
    for _ in range(MAX_LINES):
        writer.write(b"x")
    assert os.read(read, 100_000).count(b"\n") == MAX_LINES
    writer.tick(0.0)
    os.close(read)
    writer.write(b"y")
    writer.flush()  # nobody reads any more: no failure
    os.close(write)


def test_nothing_but_the_place_of_an_exception() -> None:
    try:
        raise ValueError("canary")
    except ValueError:
        record = logging.LogRecord("x", logging.ERROR, "f", 1, "oops %d\ncanary", (5,), sys.exc_info())
    for as_json in (True, False):
        text = LineFormatter(as_json=as_json).format(record)
        assert "ValueError" in text and "test_request_log.py" in text and "oops 5" in text
        assert "canary" not in text
        assert "\n" not in text


def test_lines_of_several_workers_do_not_mix() -> None:
    """On one pipe, with a slow reader: every line is whole."""
    read, write = os.pipe()
    writers = [LogWriter(write), LogWriter(write)]

    def work(writer: LogWriter, letter: bytes) -> None:
        for _ in range(3000):
            writer.write(letter * 250)
        writer.flush()

    threads = [
        threading.Thread(target=work, args=(writer, letter))
        for writer, letter in zip(writers, (b"a", b"b"), strict=True)
    ]
    for thread in threads:
        thread.start()
    text = b""
    while text.count(b"\n") < 6000:
        text += os.read(read, 10_000)
    for thread in threads:
        thread.join()
    os.close(read)
    os.close(write)
    assert set(text.splitlines()) == {b"a" * 250, b"b" * 250}
