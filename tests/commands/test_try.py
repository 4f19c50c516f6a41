"""`portico try` against servers that do not behave: one line each, never a traceback."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread

import pytest

from server.cli import main

MODELS = b'HTTP/1.1 200 OK\r\ncontent-length: 23\r\n\r\n{"data": [{"id": "m"}]}'
EVENT = b'data: {"choices": [{"index": 0, "delta": {"content": "Hello"}}]}\n\n'
USAGE = b'data: {"choices": [], "usage": {"completion_tokens": 1}}\n\n'


def chunked(*pieces: bytes) -> bytes:
    head = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
    return head + b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces)


@contextmanager
def answering(*answers: bytes) -> Iterator[str]:
    """The base URL of a server that sends these, one per connection, and closes it."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            for answer in answers:
                connection, _ = listener.accept()
                with connection:
                    read = b""
                    while not read.endswith((b"\r\n\r\n", b"}")):
                        read += connection.recv(65536)
                    connection.sendall(answer)

        thread = Thread(target=serve, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
        thread.join(5)


def tried(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    status = main(["try", "Who are you?", *arguments])
    out, err = capsys.readouterr()
    return status, out, err


def test_an_answer(capsys: pytest.CaptureFixture[str]) -> None:
    with answering(MODELS, chunked(EVENT, USAGE, b"data: [DONE]\n\n")) as url:
        status, out, err = tried(capsys, "--url", url, "--key", " sk-clé\n")
    assert (status, err) == (0, "")
    assert "Hello" in out and "1 tokens" in out


def listed(*models: str) -> bytes:
    body = b'{"data": [%b]}' % b", ".join(one.encode() for one in models)
    return b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body)


def test_it_asks_a_model_that_chats(capsys: pytest.CaptureFixture[str]) -> None:
    embeddings, chats = '{"id": "e5", "serves": ["embeddings"]}', '{"id": "big", "serves": ["chat"]}'
    with answering(listed(embeddings, chats), chunked(EVENT, USAGE, b"data: [DONE]\n\n")) as url:
        status, out, _ = tried(capsys, "--url", url, "--key", "sk-x")
    assert (status, out.splitlines()[0]) == (0, f"Asking big at {url}")
    with answering(listed(embeddings)) as url:
        assert "no model for chats" in tried(capsys, "--url", url, "--key", "sk-x")[2]


@pytest.mark.parametrize(
    ("answers", "says"),
    [
        ([b"SSH-2.0-OpenSSH\r\n"], "check --url"),
        ([b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\n<html>"], "check --url"),
        ([b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}"], "check --url"),
        ([MODELS.replace(b"23", b"99")], "broke off"),
        ([MODELS, chunked(EVENT)], "broke off"),  # as when the gateway is killed
        ([MODELS, chunked(EVENT, b'data: {"error": {"message": "no engine"}}\n\n')], "no engine"),
    ],
)
def test_what_is_no_answer_is_one_line(capsys: pytest.CaptureFixture[str], answers: list[bytes], says: str) -> None:
    with answering(*answers) as url:
        status, _, err = tried(capsys, "--url", url, "--key", "sk-x")
    assert (status, err.count("\n")) == (1, 1)
    assert err.startswith("portico: ") and says in err


def test_a_development_key_that_has_ended(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PORTICO_HOME", str(tmp_path))
    monkeypatch.delenv("PORTICO_API_KEY", raising=False)
    (tmp_path / "dev-key").write_text("sk-portico-dev-x\n")
    body = b'{"error": {"message": "Incorrect API key provided."}}'
    refusal = b"HTTP/1.1 401 Unauthorized\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body)
    with answering(refusal) as url:
        status, _, err = tried(capsys, "--url", url)
    assert (status, err.count("\n")) == (1, 1)
    assert "development key" in err and "PORTICO_API_KEY" in err and "portico keys create" in err
    with answering(refusal) as url:
        _, _, err = tried(capsys, "--url", url, "--key", "sk-x")
    assert "Incorrect API key" in err and "development" not in err


@pytest.mark.parametrize("url", ["http://127.0.0.1:abc/v1", "http://[::1/v1", "127.0.0.1:8000", "http:///v1"])
def test_what_is_no_url(capsys: pytest.CaptureFixture[str], url: str) -> None:
    status, _, err = tried(capsys, "--url", url, "--key", "sk-x")
    assert (status, err.count("\n")) == (1, 1) and "--url must be like" in err
