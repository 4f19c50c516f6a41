"""The answer under the policies of its call: whatever a client can read goes through them."""

from __future__ import annotations

from collections.abc import Collection

from server.answers.edit import PASSING, EditStage
from server.answers.stage import Stage
from server.call import Call
from server.openai.chat_request import choices_of


class Refusing:
    """An editor of a choice of which nothing may leave."""

    finish_reason = "content_filter"
    ended = True

    def indifferent(self, escaped: bytes) -> bool:
        return False

    def feed(self, text: str) -> str:
        return ""

    def finish(self) -> str:
        return ""


def without(call: Call, refused: Collection[int]) -> Stage:
    """A stage that ends some choices at once, whatever comes of them."""
    refusing = Refusing()
    return EditStage(call, lambda index, channel: refusing if index in refused else PASSING, choices_of(call.body))


def moderated(call: Call) -> Stage | None:
    """The stage, for calls under a policy that looks at answers (`Call.check`)."""
    check = call.check
    if check is None or not check.edits:
        return None
    return EditStage(call, check.editor, choices_of(call.body))
