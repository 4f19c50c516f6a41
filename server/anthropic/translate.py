"""A request in Anthropic's shape as the chat completion that it is for the engine. Pure.

| Anthropic | chat completion |
|---|---|
| `system` | a first message with role `system` |
| messages with role `system` | the same, where they stand |
| `tools`, as changed by messages | those that are offered at the end (offered.py) |
| `tool_use` blocks | the assistant message's `tool_calls` |
| `tool_result` blocks | messages with role `tool`, before the rest of the turn; what is no text is told of in one |
| `thinking` blocks | the assistant's `reasoning`, where the signature is ours; else left out |
| `tool_choice` any, tool | `required`, a named function |
| `thinking`, `output_config.effort` | `reasoning_effort` |
| `output_config.format` | `response_format` |
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from server.anthropic.offered import last_of_user, offered
from server.anthropic.request import (
    AssistantTurn,
    Block,
    DocumentBlock,
    Format,
    FoundTool,
    ImageBlock,
    MessagesRequest,
    Prompted,
    RedactedThinkingBlock,
    ResultPart,
    SystemTurn,
    TextBlock,
    ThinkingBlock,
    ToolChoice,
    ToolResultBlock,
    ToolUseBlock,
    UserTurn,
)
from server.anthropic.request import Tool as AnthropicTool
from server.anthropic.signature import Signer
from server.errors import InvalidValue, MissingParameter, UnsupportedValue
from server.openai.chat_request import (
    AssistantMessage,
    ChatRequest,
    Effort,
    Function,
    FunctionCall,
    JsonSchema,
    JsonSchemaFormat,
    Message,
    NamedFunction,
    NamedToolChoice,
    SystemMessage,
    TextPart,
    Tool,
    ToolCall,
    ToolMessage,
    UserMessage,
)
from server.openai.unseen import unseen

LITTLE, MUCH = 2048, 8192  # tokens of thinking: below the one effort is low, from the other on high


class TranslatedChat(ChatRequest, kw_only=True):
    """`thinking`: the client wants to see the model's reasoning."""

    thinking: bool = False


def chat_of(request: Prompted, signer: Signer, project_id: str) -> TranslatedChat:
    """Raises `InvalidRequest`, whose `param` is a path in the request as it was sent."""
    _refuse_unserved(request)
    chat = TranslatedChat(
        model=request.model,
        messages=list(_messages(request, signer, project_id)),
        thinking=request.thinking is not None and request.thinking.type != "disabled",
        reasoning_effort=_effort(request),
    )
    chat.tools = [_tool(tool, f"tools.{index}") for index, tool in offered(request)] or None
    _choose(chat, request.tool_choice)
    wanted = request.output_format or (request.output_config and request.output_config.format)
    if wanted:
        chat.response_format = _format(wanted)
    if isinstance(request, MessagesRequest):
        chat.max_completion_tokens = request.max_tokens
        chat.stop = request.stop_sequences or None
        chat.stream = request.stream
        chat.temperature = request.temperature
        chat.top_p = request.top_p
        chat.guardrails = request.guardrails
    return chat


def _refuse_unserved(request: Prompted) -> None:
    if request.mcp_servers:
        raise UnsupportedValue("MCP servers are not called here: offer their tools in 'tools'.", param="mcp_servers")
    if isinstance(request, MessagesRequest) and request.container is not None:
        raise UnsupportedValue("There are no containers to run code in; leave it out.", param="container")


def _messages(request: Prompted, signer: Signer, project_id: str) -> Iterator[Message]:
    if isinstance(request.system, str):
        yield SystemMessage(content=request.system)
    elif request.system:
        yield SystemMessage(content=_texts(request.system))
    if isinstance(request.messages[-1], AssistantTurn):
        raise UnsupportedValue(
            "The last message must be the user's: gpt-oss does not go on with an answer that is begun for it.",
            param=f"messages.{len(request.messages) - 1}.role",
        )
    open_calls: list[str] = []
    last = last_of_user(request)
    for index, turn in enumerate(request.messages):
        where = f"messages.{index}"
        if isinstance(turn, UserTurn):
            yield from _user(turn, where, open_calls)
            open_calls = []
        elif isinstance(turn, AssistantTurn):
            message = _assistant(turn, where, signer, project_id)
            open_calls = [call.id for call in message.tool_calls or ()]
            yield message
        elif open_calls:
            raise _unanswered(where)
        elif turn.clear_at != "next_user_message" or index > last:
            yield from _told(turn)


def _told(turn: SystemTurn) -> Iterator[SystemMessage]:
    if isinstance(turn.content, str):
        content = turn.content
    else:
        content = _texts([block for block in turn.content if isinstance(block, TextBlock)])
    if content:
        yield SystemMessage(content=content)


def _unanswered(where: str) -> InvalidValue:
    return InvalidValue(
        "Each 'tool_use' block must have its 'tool_result' in the user message that follows.", param=where
    )


def _user(turn: UserTurn, where: str, open_calls: Sequence[str]) -> Iterator[Message]:
    """Results first, as a chat has them right behind the calls that they answer."""
    blocks = [TextBlock(turn.content)] if isinstance(turn.content, str) else turn.content
    texts: list[TextPart] = []
    answered: set[str] = set()
    for index, block in enumerate(blocks):
        at = f"{where}.content.{index}"
        if isinstance(block, TextBlock):
            texts.append(TextPart(block.text))
        elif not isinstance(block, ToolResultBlock):
            raise _no_place(block, at, "user")
        elif block.tool_use_id not in open_calls or block.tool_use_id in answered:
            raise InvalidValue(
                "A 'tool_result' must answer a 'tool_use' block of the assistant message right before it: none that is "
                "open has this id.",
                param=f"{at}.tool_use_id",
            )
        else:
            answered.add(block.tool_use_id)
            yield ToolMessage(content=_result(block, at), tool_call_id=block.tool_use_id)
    if len(answered) < len(open_calls):
        raise _unanswered(f"{where}.content")
    if texts:
        yield UserMessage(content=list(texts))


def _assistant(turn: AssistantTurn, where: str, signer: Signer, project_id: str) -> AssistantMessage:
    if isinstance(turn.content, str):
        return AssistantMessage(content=turn.content)
    said: list[str] = []
    thought: list[str] = []
    calls: list[ToolCall] = []
    for index, block in enumerate(turn.content):
        at = f"{where}.content.{index}"
        if isinstance(block, TextBlock):
            said.append(block.text)
        elif isinstance(block, ThinkingBlock):
            if signer.holds(project_id, block.thinking, block.signature):
                thought.append(block.thinking)
        elif isinstance(block, ToolUseBlock):
            calls.append(_call(block, at, calls))
        elif not isinstance(block, RedactedThinkingBlock):
            raise _no_place(block, at, "assistant")
    return AssistantMessage(
        content="".join(said) or None if calls else "".join(said),
        reasoning="".join(thought) or None,
        tool_calls=calls or None,
    )


def _call(block: ToolUseBlock, where: str, before: Sequence[ToolCall]) -> ToolCall:
    arguments = bytes(block.input).decode()
    if not arguments.startswith("{"):
        raise InvalidValue("Invalid value: expected an object.", param=f"{where}.input")
    if any(call.id == block.id for call in before):
        raise InvalidValue("Two 'tool_use' blocks have the same id.", param=f"{where}.id")
    return ToolCall(id=block.id, function=FunctionCall(name=block.name, arguments=arguments))


def _result(block: ToolResultBlock, where: str) -> str | list[TextPart]:
    if block.content is None or isinstance(block.content, str):
        return block.content or ""
    parts: list[TextPart] = []
    for index, part in enumerate(block.content):
        if isinstance(part, FoundTool):
            parts.append(TextPart(f"The tool {part.tool_name} can be called now."))
        elif isinstance(part, TextBlock):
            parts.append(TextPart(part.text))
        elif isinstance(part, ImageBlock | DocumentBlock):
            parts.append(TextPart(unseen(str(part.__struct_config__.tag))))
        else:
            raise _no_place(part, f"{where}.content.{index}", "user")
    return parts or ""


def _no_place(block: Block | ResultPart, where: str, role: str) -> UnsupportedValue | InvalidValue:
    kind = str(block.__struct_config__.tag)
    if isinstance(block, ThinkingBlock | RedactedThinkingBlock | ToolUseBlock | ToolResultBlock):
        return InvalidValue(f"A message with role '{role}' has no '{kind}' blocks.", param=f"{where}.type")
    return UnsupportedValue(f"gpt-oss reads text, not {kind} blocks: send a 'text' block instead.", param=where)


def _texts(blocks: Sequence[TextBlock]) -> list[TextPart]:
    return [TextPart(block.text) for block in blocks]


def _tool(tool: AnthropicTool, where: str) -> Tool:
    if tool.type not in (None, "custom"):
        raise UnsupportedValue(
            "Tools that run on Anthropic's servers are not there: offer one of your own, with 'input_schema'.",
            param=f"{where}.type",
        )
    if tool.input_schema is None:
        raise MissingParameter(f"Missing required parameter: '{where}.input_schema'.", param=f"{where}.input_schema")
    return Tool(Function(name=tool.name, description=tool.description, parameters=tool.input_schema))


def _choose(chat: TranslatedChat, choice: ToolChoice | None) -> None:
    if choice is None:
        return
    if choice.type == "tool":
        if choice.name is None:
            raise MissingParameter("Missing required parameter: 'tool_choice.name'.", param="tool_choice.name")
        chat.tool_choice = NamedToolChoice(NamedFunction(choice.name))
    elif choice.type == "any":
        chat.tool_choice = "required"
    elif chat.tools:
        chat.tool_choice = choice.type
    if choice.disable_parallel_tool_use is not None:
        chat.parallel_tool_calls = not choice.disable_parallel_tool_use


def _format(wanted: Format) -> JsonSchemaFormat:
    return JsonSchemaFormat(JsonSchema(name="answer", schema=wanted.schema, strict=True))


def _effort(request: Prompted) -> Effort | None:
    for turn in request.messages[last_of_user(request) + 1 :]:
        if isinstance(turn, SystemTurn) and turn.output_config is not None and turn.output_config.effort is not None:
            return turn.output_config.effort
    if request.output_config is not None and request.output_config.effort is not None:
        return request.output_config.effort
    thinking = request.thinking
    if thinking is None or thinking.type == "adaptive":
        return None
    if thinking.type == "disabled":
        return "none"
    budget = thinking.budget_tokens or LITTLE
    return "low" if budget < LITTLE else "medium" if budget < MUCH else "high"
