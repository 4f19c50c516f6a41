"""Function calls get the numbers and ids that OpenAI's have."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from msgspec import UNSET

from server.engines.makes.calls import Calls
from server.openai.chunks import ToolCallDelta


def mended(*deltas: dict[str, Any]) -> list[tuple[Any, str | None, str | None, str | None]]:
    calls = Calls("x")
    found = []
    for delta in deltas:
        one = msgspec.convert(delta, ToolCallDelta)
        calls.mend([one])
        assert one.function is not None
        assert one.index is not UNSET
        found.append((one.index, one.id, one.function.name, one.function.arguments))
    return found


def call(name: str | None = None, arguments: str | None = None, **more: Any) -> dict[str, Any]:
    return {"function": {"name": name, "arguments": arguments}} | more


@pytest.mark.parametrize(
    ("deltas", "expected"),
    [
        (  # as OpenAI's
            [call("f", "", index=0, id="a"), call(None, "{}", index=0)],
            [(0, "a", "f", ""), (0, None, None, "{}")],
        ),
        (  # id and name with every piece
            [call("f", "{", index=0, id="a"), call("f", "}", index=0, id="a")],
            [(0, "a", "f", "{"), (0, None, None, "}")],
        ),
        (  # every call is number 0
            [call("f", "{}", index=0, id="a"), call("g", "{}", index=0, id="b")],
            [(0, "a", "f", "{}"), (1, "b", "g", "{}")],
        ),
        (  # no ids
            [call("f", "{", index=0), call(None, "}", index=0), call("g", None, index=1)],
            [(0, "call_x_0", "f", "{"), (0, None, None, "}"), (1, "call_x_1", "g", "")],
        ),
        (  # neither ids nor numbers
            [call("f", "{}"), call(None, " "), call("g", "{}")],
            [(0, "call_x_0", "f", "{}"), (0, None, None, " "), (1, "call_x_1", "g", "{}")],
        ),
    ],
)
def test_mended(deltas: list[dict[str, Any]], expected: list[Any]) -> None:
    assert mended(*deltas) == expected
