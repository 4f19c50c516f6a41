from __future__ import annotations

import pytest

from server.api.http import check_content, client_request_id, new_request_id
from server.errors import BodyTooLarge, UnsupportedMediaType


def test_ids_differ() -> None:
    assert len({new_request_id() for _ in range(1000)}) == 1000


@pytest.mark.parametrize(
    ("headers", "found"),
    [
        ([], None),
        ([(b"x-request-id", b"abc")], "abc"),
        ([(b"x-client-request-id", b"a.b_c:d/e+f=-")], "a.b_c:d/e+f=-"),
        ([(b"x-request-id", b"a b"), (b"x-client-request-id", b"good")], "good"),
        ([(b"x-request-id", b"a\n")], None),
        ([(b"x-request-id", b"\xc3\xa9")], None),
    ],
)
def test_client_ids(headers: list[tuple[bytes, bytes]], found: str | None) -> None:
    assert client_request_id(dict(headers)) == found


def test_content() -> None:
    check_content({b"content-length": b"100", b"content-type": b"application/vnd.api+json"}, 100)
    check_content({}, 0)
    check_content({b"content-encoding": b"identity"}, 0)
    with pytest.raises(BodyTooLarge):
        check_content({b"content-length": b"101"}, 100)
    for header in ((b"content-type", b"text/json"), (b"content-encoding", b"br"), (b"content-type", b"json")):
        with pytest.raises(UnsupportedMediaType):
            check_content(dict([header]), 100)
