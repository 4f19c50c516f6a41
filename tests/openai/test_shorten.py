"""What of a conversation may be left out."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from server.openai.chat_request import (
    AssistantMessage,
    DeveloperMessage,
    FunctionCall,
    Message,
    SystemMessage,
    ToolCall,
    ToolMessage,
    UserMessage,
)
from server.openai.shorten import droppable, fewest


def calling(*ids: str) -> list[Message]:
    calls = [ToolCall(id=one, function=FunctionCall(name="f", arguments="{}")) for one in ids]
    return [AssistantMessage(tool_calls=calls), *(ToolMessage(content=one, tool_call_id=one) for one in ids)]


blocks = st.one_of(
    st.just([UserMessage(content="?")]),
    st.just([AssistantMessage(content="!")]),
    st.just([SystemMessage(content="rule")]),
    st.just([DeveloperMessage(content="rule")]),
    st.lists(st.sampled_from("abcdef"), min_size=1, max_size=3, unique=True).map(lambda ids: calling(*ids)),
)


@given(st.lists(blocks, max_size=12).map(lambda found: [one for block in found for one in block]))
def test_what_may_go(messages: list[Message]) -> None:
    groups = droppable(messages)
    gone = [at for group in groups for at in group]
    assert gone == sorted(set(gone))
    users = [at for at, one in enumerate(messages) if isinstance(one, UserMessage)]
    instructions = {at for at, one in enumerate(messages) if isinstance(one, SystemMessage | DeveloperMessage)}
    newest = users[-1] if users else 0
    assert set(gone) == set(range(newest)) - instructions, "all but instructions and the newest turn"
    for at in range(len(groups) + 1):
        dropped = {one for group in groups[:at] for one in group}
        left = [one for place, one in enumerate(messages) if place not in dropped]
        asked: set[str] = set()
        for one in left:
            if isinstance(one, ToolMessage):
                assert one.tool_call_id in asked, "no output without its call"
            if isinstance(one, AssistantMessage):
                asked = {call.id for call in one.tool_calls or ()}


@given(st.lists(st.integers(0, 50), max_size=12), st.integers(0, 100), st.integers(0, 300))
def test_the_fewest_that_have_to_go(sizes: list[int], fixed: int, most: int) -> None:
    total = fixed + sum(sizes)
    dropped = fewest(total, sizes, most)
    left = total - sum(sizes[:dropped])
    assert left <= most or dropped == len(sizes)
    assert dropped == 0 or left + sizes[dropped - 1] > most, "not one more than has to"
