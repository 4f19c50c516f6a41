"""An upload's form, however it is cut."""

from __future__ import annotations

from typing import Any

import httpx2 as httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.errors import GatewayError
from server.openai.file_form import FileForm, NewFile


def form_of(content: bytes, *, filename: str = "in.jsonl", **fields: str) -> tuple[bytes, bytes]:
    """Content type and body, as the HTTP client of the SDKs writes them."""
    request = httpx.Request("POST", "http://x", data=fields, files={"file": (filename, content)})
    return request.headers["content-type"].encode(), request.read()


def read(kind: bytes, body: bytes, cuts: int = 1 << 20, max_bytes: int = 1 << 20) -> tuple[bytes, NewFile]:
    form = FileForm(kind, max_bytes)
    content = b"".join([form.feed(body[at : at + cuts]) for at in range(0, len(body), cuts)])
    assert form.size == len(content)
    return content, form.finish()


def refusal(kind: bytes, body: bytes, **settings: Any) -> GatewayError:
    with pytest.raises(GatewayError) as refused:
        read(kind, body, **settings)
    return refused.value


@given(st.binary(max_size=300), st.integers(1, 50))
def test_any_content_comes_through_in_any_pieces(content: bytes, cuts: int) -> None:
    found, said = read(*form_of(content, purpose="user_data"), cuts=cuts)
    assert found == content
    assert said == NewFile("user_data", "in.jsonl", None)


@given(st.binary(max_size=200))
def test_garbage_is_an_error_of_the_client(body: bytes) -> None:
    assert refusal(b"multipart/form-data; boundary=b", body).status == 400


def test_expiry() -> None:
    fields = {"purpose": "batch", "expires_after[anchor]": "created_at", "expires_after[seconds]": "3600"}
    _, said = read(*form_of(b"x", **fields))
    assert said == NewFile("batch", "in.jsonl", 3600)


@pytest.mark.parametrize(
    ("anchor", "seconds", "param"),
    [
        ("created_at", "3599", "expires_after.seconds"),
        ("created_at", "2592001", "expires_after.seconds"),
        ("created_at", "-5000", "expires_after[seconds]"),
        ("created_at", "1e4", "expires_after[seconds]"),
        ("now", "3600", "expires_after.anchor"),
    ],
)
def test_expiry_out_of_bounds(anchor: str, seconds: str, param: str) -> None:
    fields = {"purpose": "batch", "expires_after[anchor]": anchor, "expires_after[seconds]": seconds}
    error = refusal(*form_of(b"x", **fields))
    assert (error.status, error.param) == (400, param)


@pytest.mark.parametrize("purpose", ["assistants", "fine-tune", "vision", "evals", "batch_output", "", "Batch"])
def test_other_purposes(purpose: str) -> None:
    error = refusal(*form_of(b"x", purpose=purpose))
    assert (error.status, error.param) == (400, "purpose")
    assert "batch, user_data" in error.message


def test_what_is_missing() -> None:
    assert refusal(*form_of(b"x")).param == "purpose"
    body = b'--b\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nbatch\r\n--b--\r\n'
    assert refusal(b"multipart/form-data; boundary=b", body).param == "file"


def test_an_incomplete_form() -> None:
    kind, body = form_of(b"x" * 100, purpose="batch")
    assert "complete" in refusal(kind, body[:-60]).message


@pytest.mark.parametrize("kind", [b"application/json", b"", b"multipart/form-data", b"multipart/form-data; boundary="])
def test_other_content_types(kind: bytes) -> None:
    assert refusal(kind, b"").status == 415


def test_two_files_and_unknown_fields() -> None:
    files = [("file", ("a", b"1")), ("file", ("b", b"2"))]
    request = httpx.Request("POST", "http://x", data={"purpose": "batch"}, files=files)
    assert refusal(request.headers["content-type"].encode(), request.read()).param == "file"
    assert "Unknown field" in refusal(*form_of(b"x", purpose="batch", priority="1")).message


def test_bounds() -> None:
    assert refusal(*form_of(b"x" * 11, purpose="batch"), max_bytes=10).status == 413
    assert refusal(*form_of(b"x", purpose="b" * 300)).param == "purpose"
    assert refusal(*form_of(b"x", filename="n" * 10_000, purpose="batch")).status == 400


def test_a_name_is_only_a_name() -> None:
    _, said = read(*form_of(b"x", filename="../../etc/passwd", purpose="batch"))
    assert said.filename == "../../etc/passwd", "it is shown as it came, and used for nothing"
    body = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a\x00\x1bb"\r\n\r\nx\r\n'
    body += b'--b\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nbatch\r\n--b--\r\n'
    assert read(b"multipart/form-data; boundary=b", body)[1].filename == "ab"
