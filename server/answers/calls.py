"""Function calls as OpenAI reports them, where vLLM's harmony path does not.

- A call that the client named ends with `stop` in vLLM: a choice that holds calls and was not cut says `tool_calls`.
- With a forced schema the model may write the header `final json` as well as `final <|constrain|>json`. vLLM takes that
  `json` for the name of a function: the answer becomes a call of it in a stream and vanishes from a unary answer. So
  such calls are asked for as streams (engines/requests.py), and what was a call of `json` is content again here.
"""

from __future__ import annotations

from server.answers.stage import Stage
from server.call import Call
from server.openai.chat_request import ChatRequest, JsonObjectFormat, JsonSchemaFormat
from server.openai.chunks import Choice, Chunk, ToolCallDelta
from server.openai.events import Batch, ChunkEvent

MISREAD_HEADER = "json"


def forces_json(body: object) -> bool:
    return isinstance(body, ChatRequest) and isinstance(body.response_format, JsonObjectFormat | JsonSchemaFormat)


def true_calls(call: Call) -> Stage | None:
    """The stage, for chat completions with tools or a forced schema."""
    body = call.body
    if not isinstance(body, ChatRequest) or not (body.tools or body.response_format):
        return None
    named = {tool.function.name for tool in body.tools or ()}
    return CallsMender(misread=forces_json(body) and MISREAD_HEADER not in named)


class CallsMender:
    """One per call; changes choices in place."""

    ended = False

    def __init__(self, *, misread: bool) -> None:
        self._look = misread
        self._misread: set[tuple[int, object]] = set()  # (choice, call) that are content
        self._calling: set[int] = set()  # choices that hold true calls

    def feed(self, batch: Batch) -> Batch:
        for event in batch:
            if isinstance(event, ChunkEvent) and isinstance(event.chunk, Chunk):
                for choice in event.chunk.choices:
                    self.mend(choice)
        return batch

    def mend(self, choice: Choice) -> None:
        calls = choice.delta.tool_calls or []
        true = [one for one in calls if not self._is_misread(choice.index, one)]
        if len(true) < len(calls):
            text = "".join((one.function.arguments or "") for one in calls if one not in true and one.function)
            choice.delta.content = (choice.delta.content or "") + text
            choice.delta.tool_calls = true or None
        if true:
            self._calling.add(choice.index)
        calling = choice.index in self._calling
        if choice.finish_reason == "stop" and calling:
            choice.finish_reason = "tool_calls"
        elif choice.finish_reason == "tool_calls" and not calling:
            choice.finish_reason = "stop"

    def _is_misread(self, choice: int, one: ToolCallDelta) -> bool:
        if not self._look:
            return False
        if one.function is not None and one.function.name == MISREAD_HEADER:
            self._misread.add((choice, one.index))
        return (choice, one.index) in self._misread
