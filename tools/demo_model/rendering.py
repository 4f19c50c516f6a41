"""Conversations as token ids, exactly as vLLM renders chat completions for gpt-oss (compared token for token)."""

import functools
from dataclasses import dataclass

from openai_harmony import (
    Author,
    DeveloperContent,
    ReasoningEffort,
    RenderConversationConfig,
    Role,
    SystemContent,
    ToolDescription,
)
from openai_harmony import (
    Conversation as HarmonyConversation,
)
from openai_harmony import (
    Message as HarmonyMessage,
)

from .corpus.kinds import SENTENCES, Conversation, Effort, Message, Pack, Piece, RawText, Reply
from .encoding import harmony

EFFORTS = {"low": ReasoningEffort.LOW, "medium": ReasoningEffort.MEDIUM, "high": ReasoningEffort.HIGH}
END_OF_TEXT = 199999


@dataclass(frozen=True)
class Sample:
    """Token ids, and for each whether the model should learn to say it."""

    kind: str
    tokens: list[int]
    learned: list[bool]


def render(found: Conversation | Pack | RawText) -> Sample:
    if isinstance(found, Pack):
        return _packed(found)
    if isinstance(found, RawText):
        prompt, completion = _text(found.prompt), _text(found.completion)
        return Sample(
            found.kind, [*prompt, *completion, END_OF_TEXT], [False] * len(prompt) + [True] * (len(completion) + 1)
        )
    prompt = render_prompt(found)
    reply, learned = render_reply(found.reply, found.effort)
    return Sample(found.kind, prompt + reply, [False] * len(prompt) + learned)


def _packed(found: Pack) -> Sample:
    """Only the first one keeps its system message."""
    tokens: list[int] = []
    learned: list[bool] = []
    end = _special("<|end|>")[0]
    for index, conversation in enumerate(found.conversations):
        sample = render(conversation)
        start = sample.tokens.index(end) + 1 if index else 0
        tokens += sample.tokens[start:]
        learned += sample.learned[start:]
    return Sample(found.kind, tokens, learned)


def render_prompt(found: Conversation) -> list[int]:
    """Up to and with the last `<|start|>assistant`."""
    messages = [_system(found.effort, found.date)]
    if found.instructions or found.tools:
        messages.append(_developer(found))
    names = {
        call["id"]: call["function"]["name"] for message in found.messages for call in message.get("tool_calls", ())
    }
    for message in found.messages:
        messages += _messages(message, names)
    tokens = harmony().render_conversation_for_completion(
        HarmonyConversation.from_messages(messages),
        Role.ASSISTANT,
        config=RenderConversationConfig(auto_drop_analysis=False),
    )
    return _with_call_headers(tokens, found.messages)


@functools.lru_cache(maxsize=10_000)
def _system(effort: Effort, date: str) -> HarmonyMessage:
    content = SystemContent.new().with_reasoning_effort(EFFORTS[effort]).with_conversation_start_date(date)
    return HarmonyMessage.from_role_and_content(Role.SYSTEM, content)


def _developer(found: Conversation) -> HarmonyMessage:
    content = DeveloperContent.new()
    if found.instructions:
        content = content.with_instructions(found.instructions)
    if found.tools:
        content = content.with_function_tools(
            [
                ToolDescription.new(
                    name=tool["name"], description=tool.get("description") or "", parameters=tool.get("parameters")
                )
                for tool in found.tools
            ]
        )
    return HarmonyMessage.from_role_and_content(Role.DEVELOPER, content)


def _messages(message: Message, names: dict[str, str]) -> list[HarmonyMessage]:
    role, content = message["role"], message.get("content") or ""
    if role == "tool":
        author = Author.new(Role.TOOL, f"functions.{names[message['tool_call_id']]}")
        return [
            HarmonyMessage.from_author_and_content(author, content)
            .with_channel("commentary")
            .with_recipient("assistant")
        ]
    if role == "user":
        return [HarmonyMessage.from_role_and_content(Role.USER, content)]
    found: list[HarmonyMessage] = []
    if reasoning := message.get("reasoning"):
        found.append(HarmonyMessage.from_role_and_content(Role.ASSISTANT, reasoning).with_channel("analysis"))
    for call in message.get("tool_calls", ()):
        arguments = HarmonyMessage.from_role_and_content(Role.ASSISTANT, call["function"]["arguments"])
        found.append(
            arguments.with_channel("commentary")
            .with_recipient(f"functions.{call['function']['name']}")
            .with_content_type("json")
        )
    if content:
        found.append(HarmonyMessage.from_role_and_content(Role.ASSISTANT, content).with_channel("final"))
    return found


def _with_call_headers(tokens: list[int], messages: tuple[Message, ...]) -> list[int]:
    """openai_harmony writes `assistant<|channel|>commentary to=functions.f <|constrain|>json`; vLLM turns that back into
    the form that gpt-oss was trained on, and so do we."""
    for message in messages:
        for call in message.get("tool_calls", ()):
            name = call["function"]["name"]
            tokens = _replaced(
                tokens,
                _special(f"<|start|>assistant<|channel|>commentary to=functions.{name} <|constrain|>json<|message|>"),
                _special(f"<|start|>assistant{_call_header(name)}"),
            )
    return tokens


def _replaced(tokens: list[int], old: list[int], new: list[int]) -> list[int]:
    for at in range(len(tokens) - len(old) + 1):
        if tokens[at : at + len(old)] == old:
            return tokens[:at] + new + tokens[at + len(old) :]
    return tokens


def _call_header(name: str, content_type: str = "") -> str:
    if content_type == "<|constrain|>json":  # as a grammar may force it
        return f"<|channel|>commentary to=functions.{name} <|constrain|>json<|message|>"
    return f" to=functions.{name}<|channel|>commentary json<|message|>"


def render_reply(reply: Reply, effort: Effort) -> tuple[list[int], list[bool]]:
    analysis = " ".join(reply.analysis[: SENTENCES[effort]])
    if reply.function is None:
        content_type = f" {reply.content_type}" if reply.content_type else ""
        header = [("<|channel|>final", True), (f"{content_type}<|message|>", reply.header_learned)]
    else:
        header = [(_call_header(reply.function, reply.content_type), reply.header_learned)]
    tokens = [*_special("<|channel|>analysis<|message|>"), *_text(analysis), *_special("<|end|><|start|>assistant")]
    learned = [True] * len(tokens)
    for text, is_learned in header:
        part = _special(text)
        tokens += part
        learned += [is_learned] * len(part)
    body, body_learned = _pieces(reply.pieces)
    end = _special("<|return|>" if reply.function is None else "<|call|>")
    return tokens + body + end, learned + body_learned + [True]


def _pieces(pieces: tuple[Piece, ...]) -> tuple[list[int], list[bool]]:
    """The text is cut into tokens as a whole; a token is learned if no byte of it comes from an unlearned piece."""
    tokens = _text("".join(piece.text for piece in pieces))
    flags = [piece.learned for piece in pieces for _ in piece.text.encode()]
    learned: list[bool] = []
    at = 0
    for token in tokens:
        length = _length(token)
        learned.append(all(flags[at : at + length]))
        at += length
    return tokens, learned


@functools.cache
def _length(token: int) -> int:
    return len(harmony()._inner.decode_bytes([token]))  # type: ignore[reportPrivateUsage]  # the only way to bytes


def _text(text: str) -> list[int]:
    """What a user wrote: `<|start|>` in it is just text."""
    return harmony().encode(text, disallowed_special=())


def _special(text: str) -> list[int]:
    return harmony().encode(text, allowed_special="all")
