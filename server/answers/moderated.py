"""The answer under the policies of its call: whatever a client can read goes through them."""

from __future__ import annotations

from server.answers.edit import EditStage
from server.answers.stage import Stage
from server.call import Call
from server.openai.chat_request import CompletionRequest


def moderated(call: Call) -> Stage | None:
    """The stage, for calls under a policy that looks at answers (`Call.check`)."""
    check = call.check
    if check is None or not check.edits:
        return None
    body = call.body
    prompts = len(body.prompt) if isinstance(body, CompletionRequest) and isinstance(body.prompt, list) else 1
    return EditStage(call, check.editor, (body.n or 1) * prompts)
