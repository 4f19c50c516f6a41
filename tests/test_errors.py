"""The tree of errors is what its docstring says, and each has OpenAI's shape."""

from __future__ import annotations

import json
import re

import pytest

from server import errors
from server.api.http import error_headers
from server.errors import GatewayError


def classes(root: type[GatewayError] = GatewayError) -> list[type[GatewayError]]:
    return [
        root,
        *(one for child in root.__subclasses__() for one in classes(child) if one.__module__ == errors.__name__),
    ]


@pytest.mark.parametrize("kind", classes())
def test_shape(kind: type[GatewayError]) -> None:
    error = kind('Say 你好 "so".', param="a[0].b", retry_after=2.2)
    body = json.loads(error.body())
    assert body == {"error": {"message": 'Say 你好 "so".', "type": kind.type, "param": "a[0].b", "code": kind.code}}
    assert json.loads(kind("m").body())["error"]["param"] is None
    assert 400 <= kind.status < 600
    assert re.fullmatch("[a-z_]+", kind.outcome)
    headers = dict(error_headers(error))
    assert (headers[b"retry-after"], headers[b"retry-after-ms"]) == (b"3", b"2200")


def test_the_docstring_lists_the_tree() -> None:
    tree = [line for line in (errors.__doc__ or "").splitlines() if re.match(r"    +[A-Z]\w+ ", line)]
    listed = {line.split()[0]: line.split() for line in tree}
    assert set(listed) == {kind.__name__ for kind in classes()}
    depth = {line.split()[0]: (len(line) - len(line.lstrip())) // 2 - 2 for line in tree}
    for kind in classes():
        assert depth[kind.__name__] == len(kind.__mro__) - len(GatewayError.__mro__), kind
        words = listed[kind.__name__]
        statuses = [int(word) for word in words if word.isdigit()]
        assert statuses in ([], [kind.status]), kind
        if "code" in words:
            assert words[words.index("code") + 1] == kind.code


def test_outcomes_are_few() -> None:
    assert len({kind.outcome for kind in classes()}) <= 14
