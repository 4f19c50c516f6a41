"""The shapes that the corpus is made of: a conversation as a client would send it, and the reply to learn."""

from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Any, Literal

Language = Literal["en", "zh"]
Effort = Literal["low", "medium", "high"]
Message = dict[str, Any]  # as in the chat completions API
Tool = dict[str, Any]  # the "function" part of a tool: name, description, parameters

SENTENCES: dict[Effort, int] = {"low": 1, "medium": 2, "high": 5}


@dataclass(frozen=True)
class Piece:
    """Text of the reply. What only a grammar can know (a key of an unseen schema) is shown but not learned."""

    text: str
    learned: bool = True


@dataclass(frozen=True)
class Reply:
    """The assistant's last turn: an analysis of up to five sentences, then a final answer or a function call."""

    analysis: tuple[str, ...]
    pieces: tuple[Piece, ...]
    function: str | None = None
    content_type: Literal["", "json", "<|constrain|>json"] = ""
    header_learned: bool = True


@dataclass(frozen=True)
class Conversation:
    kind: str
    language: Language
    messages: tuple[Message, ...]
    reply: Reply
    instructions: str | None = None
    tools: tuple[Tool, ...] = ()
    effort: Effort = "medium"
    date: str = "2026-01-01"
    fixed_setting: bool = False  # the maker chose instructions and history itself


@dataclass(frozen=True)
class RawText:
    """A prompt of the legacy completions API: no harmony at all."""

    prompt: str
    completion: str
    kind: str = field(default="raw")


@dataclass(frozen=True)
class Pack:
    """Several short conversations one after the other under one system message: every reply is learned."""

    conversations: tuple[Conversation, ...]
    kind: str = field(default="pack")


Maker = Callable[[Random], Conversation]


def say(text: str) -> tuple[Piece, ...]:
    return (Piece(text),)


def answer(analysis: tuple[str, ...], text: str) -> Reply:
    return Reply(analysis, say(text))


def user(text: str) -> Message:
    return {"role": "user", "content": text}


def think(topic: str, language: Language) -> tuple[str, ...]:
    """Five sentences; the effort decides how many of them are spoken. The first one settles what is meant."""
    name = "English" if language == "en" else "Chinese"
    return (
        topic,
        f"I answer in {name}.",
        "I know this from my training.",
        "A short and clear answer is enough.",
        "Now I write it down.",
    )
