"""The items of a conversation as the messages of a chat completion. Pure.

| item | chat completion |
|---|---|
| `message` of the assistant, `reasoning`, calls: as far as they follow each other | one assistant message |
| `function_call_output`, `custom_tool_call_output` | messages with role `tool` |
| `reasoning` | the assistant's `reasoning`, where it is ours (seal.py); else left out |
| `mcp_call`, `code_interpreter_call` | a call, and its output |
| `web_search_call` | the same, where what it found is with it and ours (seal.py); else left out |
| `mcp_approval_request` | a call; its output is that of the `mcp_call` that names it, or that it was not allowed |
| `mcp_list_tools` | nothing: the tools are told as functions |
| `compaction` | its summary, as a user's message; of what is before it only users' words and instructions stay |
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import cast

import msgspec

from server.errors import InvalidValue, MissingParameter, UnsupportedValue
from server.openai.chat_request import (
    AssistantMessage,
    DeveloperMessage,
    SystemMessage,
    TextPart,
    ToolCall,
    ToolMessage,
    UserMessage,
)
from server.openai.chat_request import (
    FunctionCall as ChatFunctionCall,
)
from server.openai.chat_request import (
    Message as ChatMessage,
)
from server.openai.unseen import unseen
from server.responses.compaction import SUMMARY
from server.responses.hosted import CODE, CODE_FIELD, hosted_name, told_to_model
from server.responses.items import (
    AnyItem,
    ApprovalRequest,
    ApprovalResponse,
    CallOutput,
    CodeCall,
    Compaction,
    CompactionTrigger,
    CustomCall,
    FunctionCall,
    InputAudio,
    InputFile,
    InputImage,
    InputText,
    McpCall,
    McpListTools,
    Message,
    OutputText,
    Part,
    Parts,
    ReasoningItem,
    Reference,
    WebSearchCall,
)
from server.responses.seal import Sealer
from server.responses.search import SEARCH
from server.responses.tools import function_name

_KINDS = {InputImage: "images", InputFile: "files", InputAudio: "audio"}
_encode = msgspec.json.encode


@dataclass(slots=True)
class _Assistant:
    """What the model wrote, until somebody else has the word."""

    where: str
    thought: list[str] = field(default_factory=list[str])
    said: list[str] = field(default_factory=list[str])
    calls: list[ToolCall] = field(default_factory=list[ToolCall])


@dataclass(slots=True)
class Approved:
    """A call that a client has approved and that was not made yet: its output becomes the content of `message`."""

    request: ApprovalRequest
    message: ToolMessage
    where: str


HostedItem = McpListTools | McpCall | ApprovalRequest | ApprovalResponse | CodeCall | WebSearchCall


class Conversation:
    """`add` its items in order, then `end`. Both raise `InvalidRequest`. `where` is an item's path in the request.

    `origins` has for each of `messages` the path of the item that it begins with. `approved` are calls to be made now,
    by the id of their request; `listed` the labels of servers of which it tells what they offer.
    """

    def __init__(self, sealer: Sealer, project_id: str) -> None:
        self.messages: list[ChatMessage] = []
        self.origins: list[str] = []
        self._sealer = sealer
        self._project_id = project_id
        self._pending: _Assistant | None = None
        self._open: dict[str, str] = {}  # calls without an output: where they stand, by id
        self._requests: dict[str, ApprovalRequest] = {}
        self.approved: dict[str, Approved] = {}
        self.listed: set[str] = set()

    def add(self, item: AnyItem, where: str) -> None:
        if isinstance(item, Message):
            if item.role == "assistant":
                self._said(item, where)
            else:
                self.tell(_told(item, f"{where}.content"), where)
        elif isinstance(item, ReasoningItem):
            self._thought(item, where)
        elif isinstance(item, FunctionCall):
            self._call(item.call_id, function_name(item.namespace, item.name), item.arguments, where)
        elif isinstance(item, CustomCall):
            arguments = _encode({"input": item.input}).decode()
            self._call(item.call_id, function_name(item.namespace, item.name), arguments, where)
        elif isinstance(item, CallOutput):
            self._answered(item.call_id, _texts(_seen(item.output), f"{where}.output"), where)
        elif isinstance(item, Compaction):
            self._compacted(item, where)
        elif isinstance(item, CompactionTrigger):
            raise InvalidValue("A compaction can only be asked for by the last item of the input.", param=where)
        elif isinstance(item, Reference):
            raise InvalidValue("A reference to an item of which nothing is stored here.", param=f"{where}.id")
        else:
            self._hosted(item, where)

    def tell(self, message: ChatMessage, where: str) -> None:
        """Somebody else has the word."""
        self._close()
        self._all_answered()
        self._put(message, where)

    def end(self) -> None:
        self._close()
        self._all_answered()

    def _thought(self, item: ReasoningItem, where: str) -> None:
        text = "".join(part.text for part in item.content or ())
        ours = self._sealer.restored(self._project_id, item.encrypted_content, text)
        if ours:
            self._speaking(where).thought.append(ours)

    def _compacted(self, item: Compaction, where: str) -> None:
        summary = self._sealer.summary(self._project_id, item.encrypted_content)
        if summary is None:
            raise InvalidValue(
                "This compaction was not made by this server for this project: leave it out, or send the items that it "
                "was made of.",
                param=f"{where}.encrypted_content",
            )
        self._pending, self._open = None, {}
        self._requests, self.approved = {}, {}
        stay = [at for at, one in enumerate(self.messages) if not isinstance(one, AssistantMessage | ToolMessage)]
        self.messages = [self.messages[at] for at in stay]
        self.origins = [self.origins[at] for at in stay]
        self._put(UserMessage(content=SUMMARY + summary), where)

    def _said(self, item: Message, where: str) -> None:
        content = item.content
        if isinstance(content, str):
            self._speaking(where).said.append(content)
            return
        parts = [_text(part, f"{where}.content[{index}]", answers=True) for index, part in enumerate(content)]
        self._speaking(where).said.append("".join(parts))

    def _call(self, call_id: str, function: str, arguments: str, where: str) -> None:
        if self._pending is None:
            self._pending = _Assistant(where)
        calls = self._pending.calls
        if call_id in self._open or any(call.id == call_id for call in calls):
            raise InvalidValue("Two calls have the same id.", param=f"{where}.call_id")
        calls.append(ToolCall(id=call_id, function=ChatFunctionCall(name=function, arguments=arguments)))

    def _answered(self, call_id: str, content: str | list[TextPart], where: str, field: str = "call_id") -> ToolMessage:
        self._close()
        if self._open.pop(call_id, None) is None:
            raise InvalidValue(
                "The output of a call must come behind the call, and once: no open call before it has this id.",
                param=f"{where}.{field}",
            )
        message = ToolMessage(content=content, tool_call_id=call_id)
        self._put(message, where)
        return message

    def _hosted(self, item: HostedItem, where: str) -> None:
        """What came of tools that the gateway runs."""
        if isinstance(item, McpListTools):
            if item.error is None:
                self.listed.add(item.server_label)
        elif isinstance(item, ApprovalRequest):
            request_id = self._id(item.id, where)
            self._requests[request_id] = item
            self._call(request_id, hosted_name(item.server_label, item.name), item.arguments, where)
        elif isinstance(item, ApprovalResponse):
            self._decided(item, where)
        elif isinstance(item, CodeCall):
            arguments = _encode({CODE_FIELD: item.code or ""}).decode()
            self._ran(self._id(item.id, where), CODE, arguments, _logs(item), where)
        elif isinstance(item, WebSearchCall):
            self._searched(item, where)
        else:
            told = told_to_model(item.output, item.error)
            approved = self.approved.pop(item.approval_request_id or "", None)
            if approved is not None:
                approved.message.content = told
            else:
                name = hosted_name(item.server_label, item.name)
                self._ran(self._id(item.id, where), name, item.arguments, told, where)

    def _ran(self, call_id: str, function: str, arguments: str, told: str, where: str) -> None:
        self._call(call_id, function, arguments, where)
        self._answered(call_id, told, where)

    def _searched(self, item: WebSearchCall, where: str) -> None:
        """A client that hands it back without what was found leaves nothing to tell."""
        made = self._sealer.call(self._project_id, item.encrypted_content or "")
        if made is not None:
            tool, arguments, told = made
            self._ran(self._id(item.id, where), hosted_name(SEARCH, tool), arguments, told, where)

    def _decided(self, item: ApprovalResponse, where: str) -> None:
        call_id = item.approval_request_id
        request = self._requests.pop(call_id, None)
        told = f"The user did not allow this call. {item.reason or ''}".strip()
        message = self._answered(call_id, "" if item.approve else told, where, "approval_request_id")
        if item.approve and request is not None:
            self.approved[call_id] = Approved(request, message, where)

    def _id(self, item_id: str | None, where: str) -> str:
        if item_id is None:
            raise MissingParameter(f"Missing required parameter: '{where}.id'.", param=f"{where}.id")
        return item_id

    def _speaking(self, where: str) -> _Assistant:
        """Where the assistant's next words go. One that has called waits for outputs, and all is part of its turn."""
        pending = self._pending
        if pending is not None and pending.said and not pending.calls:
            self._close()
            pending = None
        if pending is None:
            pending = self._pending = _Assistant(where)
        return pending

    def _close(self) -> None:
        pending, self._pending = self._pending, None
        if pending is None:
            return
        self._all_answered()
        said = "".join(pending.said)
        message = AssistantMessage(
            content=said or None if pending.calls else said,
            reasoning="".join(pending.thought) or None,
            tool_calls=pending.calls or None,
        )
        self._put(message, pending.where)
        self._open = {call.id: pending.where for call in pending.calls}

    def _all_answered(self) -> None:
        for call_id, where in self._open.items():
            asked = call_id in self._requests
            way_out = "answer it with an 'mcp_approval_response'" if asked else "send one for each call"
            raise InvalidValue(f"There is a call without its output: {way_out}.", param=where)

    def _put(self, message: ChatMessage, where: str) -> None:
        self.messages.append(message)
        self.origins.append(where)


def _told(item: Message, where: str) -> ChatMessage:
    content = _texts(item.content, where)
    if item.role == "system":
        return SystemMessage(content=content)
    if item.role == "developer":
        return DeveloperMessage(content=content)
    return UserMessage(content=content if isinstance(content, str) else list(content))


def _seen(output: Parts) -> Parts:
    """Of what a tool returned."""
    if isinstance(output, str):
        return output
    return [
        InputText(unseen(_KINDS[type(part)])) if isinstance(part, InputImage | InputFile | InputAudio) else part
        for part in output
    ]


def _texts(content: Parts, where: str) -> str | list[TextPart]:
    if isinstance(content, str):
        return content
    return [TextPart(_text(part, f"{where}[{index}]", answers=False)) for index, part in enumerate(content)] or ""


def _text(part: Part, where: str, *, answers: bool) -> str:
    """Only the assistant has parts of `answers`."""
    if isinstance(part, InputText):
        return part.text
    if isinstance(part, InputImage | InputFile | InputAudio):
        kind = _KINDS[type(part)]
        raise UnsupportedValue(f"gpt-oss reads text, not {kind}: send an 'input_text' part instead.", param=where)
    if not answers:
        raise InvalidValue("Only a message of the assistant has such parts: send 'input_text'.", param=f"{where}.type")
    return part.text if isinstance(part, OutputText) else part.refusal


def _logs(item: CodeCall) -> str:
    """What the code printed, as far as the item tells it."""
    told: object = item.outputs
    outputs = cast("list[object]", told) if isinstance(told, list) else []
    logs = [cast("dict[str, object]", one).get("logs") for one in outputs if isinstance(one, dict)]
    return "\n".join(one for one in logs if isinstance(one, str))
