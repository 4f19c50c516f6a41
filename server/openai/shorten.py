"""What of a conversation may be left out where all of it is too long, the oldest first. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from server.openai.chat_request import (
    AssistantMessage,
    DeveloperMessage,
    Message,
    SystemMessage,
    ToolMessage,
    UserMessage,
)

Group = range
"""Places of messages that go together: a call goes with its outputs."""


def droppable(messages: Sequence[Message]) -> list[Group]:
    """In their order. Instructions stay, and so does the newest turn: all from the last message of the user on."""
    newest = max((at for at, one in enumerate(messages) if isinstance(one, UserMessage)), default=0)
    groups: list[Group] = []
    at = 0
    while at < newest:
        end = at + 1
        if isinstance(messages[at], AssistantMessage):
            while isinstance(messages[end], ToolMessage):
                end += 1
        if not isinstance(messages[at], SystemMessage | DeveloperMessage):
            groups.append(range(at, end))
        at = end
    return groups


def fewest(total: int, sizes: Sequence[int], most: int) -> int:
    """How many of the first `sizes` have to go until `total` is no more than `most`; all, if that is not enough."""
    for dropped, size in enumerate(sizes):
        if total <= most:
            return dropped
        total -= size
    return len(sizes)
