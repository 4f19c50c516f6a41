"""The body of POST /v1/moderations. As with the other bodies, no further field passes."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from server.openai.chat_request import ImagePart, Strict

MOST_TEXTS = 1024


class InputText(Strict, tag_field="type", tag="text"):
    text: str


class ModerationRequest(Struct, forbid_unknown_fields=True):
    """A text, several texts, or the parts of one. `model` names a policy."""

    input: str | Annotated[list[str | InputText | ImagePart], Meta(min_length=1, max_length=MOST_TEXTS)]
    model: str | None = None
