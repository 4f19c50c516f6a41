"""Which tools are offered: some of `tools` wait until they are found, and messages add and remove some. Pure.

A chat completion has one list of tools for all of it, so what counts is how things stand at the end.
"""

from __future__ import annotations

from collections.abc import Iterator

from server.anthropic.request import (
    AssistantTurn,
    FoundTool,
    Prompted,
    Tool,
    ToolAdditionBlock,
    ToolRemovalBlock,
    ToolResultBlock,
    Turn,
    UserTurn,
)
from server.errors import InvalidValue


def last_of_user(request: Prompted) -> int:
    """Where the user spoke last, as an index of `messages`; -1 if nowhere."""
    return max((index for index, turn in enumerate(request.messages) if isinstance(turn, UserTurn)), default=-1)


def offered(request: Prompted) -> list[tuple[int, Tool]]:
    """With their places in `tools`. Raises `InvalidRequest` for a change of a tool that is not there."""
    tools = request.tools or []
    there = {tool.name: not tool.defer_loading for tool in tools}
    for index, turn in enumerate(request.messages):
        for name, added, where in _changes(turn, f"messages.{index}"):
            if name not in there:
                raise InvalidValue("There is no such tool: none of 'tools' has this name.", param=where)
            there[name] = added
    return [(index, tool) for index, tool in enumerate(tools) if there[tool.name]]


def _changes(turn: Turn, where: str) -> Iterator[tuple[str, bool, str]]:
    """The name of a tool, whether it comes or goes, and where that is said."""
    if isinstance(turn.content, str) or isinstance(turn, AssistantTurn):
        return
    for index, block in enumerate(turn.content):
        at = f"{where}.content.{index}"
        if isinstance(block, ToolAdditionBlock | ToolRemovalBlock):
            yield block.tool.name, isinstance(block, ToolAdditionBlock), f"{at}.tool.name"
        elif isinstance(block, ToolResultBlock) and isinstance(block.content, list):
            for part, found in enumerate(block.content):
                if isinstance(found, FoundTool):
                    yield found.tool_name, True, f"{at}.content.{part}.tool_name"
