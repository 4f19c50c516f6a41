"""The answer under the policies of its call: whatever a client can read goes through them."""

from __future__ import annotations

from server.answers.edit import EditStage, NewEditor
from server.answers.stage import Stage
from server.call import Call
from server.openai.chat_request import choices_of
from server.openai.events import Batch


def moderated(call: Call) -> Stage | None:
    """The stage, for calls under a policy that looks at answers (`Call.check`)."""
    check = call.check
    if check is None or not check.edits:
        return None
    return EditStage(call, check.editor, choices_of(call.body))


def edited(call: Call, new_editor: NewEditor, batch: Batch) -> Batch:
    """All that leaves of some choices, at once, under editors of its own."""
    return EditStage(call, new_editor, choices_of(call.body)).feed(batch)
