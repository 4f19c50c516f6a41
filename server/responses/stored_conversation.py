"""Bodies of /v1/conversations, and what is stored of them. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Raw, Struct

from server.errors import InvalidValue, UnsupportedValue
from server.openai.chat_request import Metadata
from server.responses.items import Reference, item_of
from server.responses.kept import full_items
from server.stores.responses import ConversationRecord, Item

MOST_AT_ONCE = 20
Items = Annotated[list[Raw], Meta(max_length=MOST_AT_ONCE)]


class NewConversation(Struct, forbid_unknown_fields=True):
    items: Items | None = None
    metadata: Metadata | None = None


class ConversationChange(Struct, forbid_unknown_fields=True):
    metadata: Metadata | None


class NewItems(Struct, forbid_unknown_fields=True):
    items: Items


class IncludeAsked(Struct, forbid_unknown_fields=True):
    """A query: it asks for what is always told, or is not there."""

    include: list[str] = []


NEW = msgspec.json.Decoder(NewConversation)
CHANGE = msgspec.json.Decoder(ConversationChange)
NEW_ITEMS = msgspec.json.Decoder(NewItems)


def stored_items(given: Sequence[Raw], stem: str) -> list[Item]:
    """In the full form of answers. Those without an id get one made of `stem`. Raises `InvalidRequest`."""
    for index, raw in enumerate(given):
        _check(raw, f"items[{index}]")
    return [Item(one["id"], msgspec.json.encode(one)) for one in full_items(given, stem)]


def _check(raw: Raw, where: str) -> None:
    item = item_of(raw, where)
    if isinstance(item, Reference):
        raise UnsupportedValue(
            f"'{where}' refers to an item; a conversation keeps items themselves: send the whole one.", param=where
        )
    if item.id is not None and not is_id(item.id):
        raise InvalidValue(
            f"Invalid value for '{where}.id': expected printable ASCII without spaces.", param=f"{where}.id"
        )


def is_id(text: str) -> bool:
    """Whether it has the form that ids have: nothing else is ever stored as one."""
    return text.isascii() and text.isprintable() and " " not in text


def resource(record: ConversationRecord) -> dict[str, Any]:
    """As OpenAI's answers show it."""
    return {
        "id": record.id,
        "object": "conversation",
        "created_at": record.created_at,
        "metadata": record.metadata,
    }
