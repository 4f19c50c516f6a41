"""A request of the Responses API as the chat completion that it is for the engine. Pure.

| Responses | chat completion |
|---|---|
| `instructions` | a first message with role `system` |
| stored items, then `input` | messages (conversation.py) |
| `tools`, `tool_choice` | functions (tools.py) |
| `text.format` | `response_format` |
| `reasoning.effort` | `reasoning_effort` |
| `max_output_tokens` | `max_completion_tokens` |
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

from msgspec import Raw, Struct

from server.errors import InvalidValue, MissingParameter, UnsupportedValue
from server.openai.chat_request import (
    ChatRequest,
    JsonObjectFormat,
    JsonSchema,
    SystemMessage,
    ToolMessage,
    UserMessage,
)
from server.openai.chat_request import JsonSchemaFormat as ChatSchemaFormat
from server.responses.compaction import TASK
from server.responses.conversation import Conversation
from server.responses.hosted import NO_OFFERS, Offers, hosted_name
from server.responses.items import is_trigger, item_of, referred
from server.responses.kept import text_item
from server.responses.request import CompactRequest, JsonSchemaFormat, Prompted, ResponsesRequest
from server.responses.seal import Sealer, is_request_id
from server.responses.tools import Named, Tools, choose, tools_of


class Past(NamedTuple):
    """What is stored of the turns before, oldest first, and stored items that the input refers to, by id: all in JSON.

    `where` is the field that led to the turns.
    """

    items: Sequence[bytes] = ()
    where: str = "previous_response_id"
    referred: Mapping[str, bytes] = MappingProxyType({})


NO_PAST = Past()


class Approval(NamedTuple):
    """A call that was approved: `message` of the chat waits for its output."""

    request_id: str
    named: Named
    arguments: str
    message: ToolMessage


class Asked(Struct):
    """What an answer has to know of its request. `own` are the items of its input, references resolved.

    `compacts`: the answer is a summary of the conversation, and is given as an item that stands for it.
    """

    request: Prompted
    own: Sequence[Raw | bytes]
    tools: Tools
    created_at: int  # Unix seconds
    origins: Sequence[str]  # for each message of the chat, the path of the item that it comes from
    compacts: bool = False
    window: Sequence[Raw | bytes] = ()  # of POST /v1/responses/compact: all that the summary stands for
    approved: Sequence[Approval] = ()  # calls of tools to be made first


class TranslatedResponse(ChatRequest, kw_only=True):
    asked: Asked | None = None
    """Set when the rest is complete and was measured: it is no part of what is sent."""


def refers(request: Prompted) -> frozenset[str]:
    """The ids of stored items that its input refers to. Raises `InvalidRequest`."""
    if not request.input or isinstance(request.input, str):
        return frozenset()
    found = (referred(one, f"input[{index}]") for index, one in enumerate(request.input))
    return frozenset(one for one in found if one is not None)


def translated(
    request: Prompted, past: Past, sealer: Sealer, project_id: str, now: int, offers: Offers = NO_OFFERS
) -> tuple[TranslatedResponse, Asked]:
    """Raises `InvalidRequest`, whose `param` is a path in the request as it was sent. `now` in Unix seconds."""
    talk = Conversation(sealer, project_id)
    own, compacts = _tell(talk, request, past)
    chat = TranslatedResponse(model=request.model, messages=talk.messages)
    tools = tools_of(request.tools, offers, frozenset(talk.listed))
    asked = Asked(request, own, tools, now, talk.origins, compacts)
    if talk.approved:
        asked.approved = _approved(talk, tools, sealer, project_id)
    if request.reasoning is not None:
        chat.reasoning_effort = request.reasoning.effort
    if not compacts:
        choose(chat, request, asked.tools)
        chat.parallel_tool_calls = request.parallel_tool_calls
        _shape(chat, request)
    if isinstance(request, ResponsesRequest):
        _sample(chat, request)
    elif isinstance(request, CompactRequest):
        chat.prompt_cache_key = request.prompt_cache_key
        text = [text_item(request.input)] if isinstance(request.input, str) else []
        asked.window = [*past.items, *own, *text]
    return chat, asked


def _tell(talk: Conversation, request: Prompted, past: Past) -> tuple[list[Raw | bytes], bool]:
    """The items of its input, and whether they are to be compacted."""
    if request.instructions:
        talk.tell(SystemMessage(content=request.instructions), "instructions")
    for stored in past.items:
        talk.add(item_of(stored, past.where), past.where)
    own, compacts = _own(request, past), isinstance(request, CompactRequest)
    if own and is_trigger(own[-1], f"input[{len(own) - 1}]"):
        own, compacts = own[:-1], True
    ids: set[str] = set()
    for index, one in enumerate(own):
        item, where = item_of(one, f"input[{index}]"), f"input[{index}]"
        if item.id is not None and item.id in ids:
            raise InvalidValue("Two items have the same id.", param=f"{where}.id")
        ids.add(item.id or "")
        talk.add(item, where)
    if isinstance(request.input, str):
        talk.tell(UserMessage(content=request.input), "input")
    talk.end()
    if not talk.messages:
        raise MissingParameter("Missing required parameter: 'input'.", param="input")
    if compacts:
        talk.tell(UserMessage(content=TASK), "input")
    return own, compacts


def _approved(talk: Conversation, tools: Tools, sealer: Sealer, project_id: str) -> list[Approval]:
    """Only what the model asked for here, and in these words, can be approved."""
    found: list[Approval] = []
    for request_id, one in talk.approved.items():
        asked, where = one.request, f"{one.where}.approval_request_id"
        if not is_request_id(request_id, sealer, project_id, asked.server_label, asked.name, asked.arguments):
            raise InvalidValue("The call to be approved is not one that the model asked for here.", param=where)
        named = tools.names.get(hosted_name(asked.server_label, asked.name))
        if named is None or named.server is None:
            raise InvalidValue(
                "The call to be approved is one of a server or tool that 'tools' does not offer any more.", param=where
            )
        found.append(Approval(request_id, named, asked.arguments, one.message))
    return found


def _own(request: Prompted, past: Past) -> list[Raw | bytes]:
    if not request.input or isinstance(request.input, str):
        return []
    own: list[Raw | bytes] = list(request.input)
    if past.referred:
        for index, one in enumerate(own):
            found = referred(one, f"input[{index}]")
            if found is not None:
                own[index] = past.referred.get(found, one)
    return own


def refuse_unserved(request: Prompted) -> None:
    """Raises `InvalidRequest` for what can be known before anything is looked up."""
    if request.previous_response_id is not None and request.conversation is not None:
        raise InvalidValue("Set only one of 'previous_response_id' and 'conversation'.", param="previous_response_id")
    if not isinstance(request, ResponsesRequest):
        return
    if request.prompt is not None:
        raise UnsupportedValue("There are no stored prompts here: send 'instructions' and 'input'.", param="prompt")
    if request.context_management is not None:
        raise UnsupportedValue(
            "Conversations are not compacted by themselves here: end the input with an item 'compaction_trigger', or "
            "ask POST /v1/responses/compact.",
            param="context_management",
        )
    if request.background and not request.stored:
        raise InvalidValue("A response that runs in the background must be stored.", param="store")
    if request.stream_options is not None and not request.stream:
        raise InvalidValue("'stream_options' needs 'stream': true.", param="stream_options")


def _shape(chat: TranslatedResponse, request: Prompted) -> None:
    if request.text is None:
        return
    chat.verbosity = request.text.verbosity
    wanted = request.text.format
    if isinstance(wanted, JsonSchemaFormat):
        schema = JsonSchema(wanted.name, wanted.description, wanted.schema, wanted.strict)
        chat.response_format = ChatSchemaFormat(schema)
    elif isinstance(wanted, JsonObjectFormat):
        chat.response_format = wanted


def _sample(chat: TranslatedResponse, request: ResponsesRequest) -> None:
    chat.max_completion_tokens = request.max_output_tokens
    chat.temperature, chat.top_p = request.temperature, request.top_p
    if request.logprobs:
        chat.logprobs, chat.top_logprobs = True, request.top_logprobs
    chat.stream = request.stream
    chat.metadata, chat.moderation = request.metadata, request.moderation
    chat.prompt_cache_key, chat.safety_identifier = request.prompt_cache_key, request.safety_identifier
    chat.guardrails = request.guardrails
