"""Responses and conversations as rows and back: lists of items as one text, sealed where a key is configured."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import msgspec
from sqlalchemy import RowMapping

from server.stores.responses import ConversationRecord, Item, ResponseRecord, Status
from server.stores.sealing import Sealing
from server.stores.sql.codec import from_json
from server.stores.sql.state_tables import conversations, responses

_RAWS = msgspec.json.Decoder(list[msgspec.Raw])

RESPONSE = [
    responses.c[name]
    for name in (
        "id",
        "project_id",
        "key_id",
        "created_at",
        "status",
        "model",
        "body",
        "background",
        "previous_id",
        "conversation_id",
    )
]
"""The columns that a record is made of."""
CONVERSATION = [conversations.c[name] for name in ("id", "project_id", "created_at", "metadata", "item_count")]


class _Named(msgspec.Struct):
    id: str


_NAMED = msgspec.json.Decoder(_Named)


def of_list(texts: Sequence[bytes]) -> bytes:
    """JSON of a list, of the JSON of what is in it."""
    return b"[%b]" % b",".join(texts)


def to_list(text: bytes) -> list[bytes]:
    return [bytes(raw) for raw in _RAWS.decode(text)]


def of_items(items: Sequence[Item]) -> bytes:
    return of_list([one.body for one in items])


def to_items(text: bytes) -> list[Item]:
    return [Item(_NAMED.decode(body).id, body) for body in to_list(text)]


def sealed_response(
    record: ResponseRecord,
    sealing: Sealing,
    *,
    input: Sequence[Item] = (),
    output: Sequence[Item] = (),
) -> dict[str, Any]:
    """Its row, without an owner."""
    texts = {"input": of_items(input), "output": of_items(output), "body": record.body}
    row = msgspec.structs.asdict(record)
    row |= {name: sealing.seal(text, place(record.id, name)) for name, text in texts.items()}
    return row | {"owner": None, "leased_until_ms": None}


def to_response(row: RowMapping, sealing: Sealing) -> ResponseRecord:
    of = responses.c
    return ResponseRecord(
        row[of.id],
        row[of.project_id],
        row[of.key_id],
        row[of.created_at],
        cast("Status", row[of.status]),
        row[of.model],
        sealing.unseal(row[of.body], place(row[of.id], "body")),
        row[of.background],
        row[of.previous_id],
        row[of.conversation_id],
    )


def items_of(row: RowMapping, column: str, sealing: Sealing) -> list[Item]:
    """`column` of a row of responses, which has its id too."""
    return to_items(sealing.unseal(row[column], place(row["id"], column)))


def sealed_metadata(record: ConversationRecord, sealing: Sealing) -> bytes:
    return sealing.seal(msgspec.json.encode(record.metadata), place(record.id, "metadata"))


def to_conversation(row: RowMapping, sealing: Sealing) -> ConversationRecord:
    of = conversations.c
    metadata = sealing.unseal(row[of.metadata], place(row[of.id], "metadata")).decode()
    return ConversationRecord(
        row[of.id], row[of.project_id], row[of.created_at], from_json(metadata, dict[str, str]), row[of.item_count]
    )


def place(record_id: str, what: str) -> str:
    """What a sealed text is bound to."""
    return f"{record_id}/{what}"
