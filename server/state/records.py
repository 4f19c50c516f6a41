"""A response that has ended as it is stored. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from server.call import Call
from server.responses.kept import full_items
from server.responses.response import Status, response_id
from server.responses.translate import Asked
from server.state.writer import Finished
from server.stores.responses import Item, ResponseRecord

_encode = msgspec.json.encode


def record_of(call: Call, asked: Asked, status: Status, body: bytes) -> ResponseRecord:
    """`body` is the Response object as its client gets it."""
    return ResponseRecord(
        id=response_id(call.id),
        project_id=call.key.project.id,
        key_id=call.key.id,
        created_at=asked.created_at,
        status=status,
        model=call.model.id,
        body=body,
        previous_id=asked.request.previous_response_id,
        conversation_id=asked.request.conversation_id,
    )


def input_of(call: Call, asked: Asked) -> list[Item]:
    """Of this request alone."""
    asked_input = asked.request.input
    items = asked_input if isinstance(asked_input, str) else asked.own
    return stored(full_items(items, call.id.removeprefix("req_")))


def finished_of(call: Call, asked: Asked, status: Status, body: bytes, output: Iterable[dict[str, Any]]) -> Finished:
    return Finished(record_of(call, asked, status, body), input_of(call, asked), stored(output))


def stored(items: Iterable[dict[str, Any]]) -> list[Item]:
    return [Item(one["id"], _encode(one)) for one in items]
