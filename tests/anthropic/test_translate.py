"""From Anthropic's request to the chat completion that the engine gets."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from server.anthropic.request import MessagesRequest
from server.anthropic.signature import Signer
from server.anthropic.translate import TranslatedChat, chat_of
from server.errors import InvalidRequest

SIGNER = Signer(b"secret")
USER = {"role": "user", "content": "Hello"}
CALL = {"type": "tool_use", "id": "toolu_1", "name": "weather", "input": {"city": "Köln", "days": 1}}


def chat(**body: Any) -> TranslatedChat:
    whole = {"model": "m", "max_tokens": 10, "messages": [USER]} | body
    return chat_of(msgspec.json.decode(msgspec.json.encode(whole), type=MessagesRequest), SIGNER, "p")


def sent(**body: Any) -> Any:
    """As the engine would get the messages."""
    return msgspec.json.decode(msgspec.json.encode(chat(**body).messages))


def test_the_system_prompt_comes_first() -> None:
    assert sent(system="Be brief.")[0] == {"role": "system", "content": "Be brief."}
    parts = [{"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}}]
    assert sent(system=parts)[0] == {"role": "system", "content": [{"type": "text", "text": "Be brief."}]}


def system(*content: Any, **fields: Any) -> dict[str, Any]:
    return {"role": "system", "content": list(content) or "Now be loud.", **fields}


def change(kind: str, name: str) -> dict[str, Any]:
    return {"type": f"tool_{kind}", "tool": {"type": "tool_reference", "name": name}}


def test_system_messages_amid_the_conversation_stay_where_they_are() -> None:
    turns = [USER, system({"type": "text", "text": "Now be loud."}), {"role": "assistant", "content": "HI"}, USER]
    assert [one["role"] for one in sent(messages=turns)] == ["user", "system", "assistant", "user"]
    assert sent(messages=turns)[1]["content"] == [{"type": "text", "text": "Now be loud."}]
    assert sent(messages=[USER, system()])[1] == {"role": "system", "content": "Now be loud."}


def test_a_system_message_for_one_turn_is_gone_in_the_next() -> None:
    passing = system(clear_at="next_user_message")
    assert [one["role"] for one in sent(messages=[USER, passing])] == ["user", "system"]
    answered = [USER, passing, {"role": "assistant", "content": "HI"}, USER]
    assert [one["role"] for one in sent(messages=answered)] == ["user", "assistant", "user"]


def test_a_system_message_sets_the_effort_of_its_turn() -> None:
    loud = system(output_config={"effort": "low"})
    assert chat(messages=[USER, loud], output_config={"effort": "high"}).reasoning_effort == "low"
    assert len(sent(messages=[USER, {"role": "system", "output_config": {"effort": "low"}}])) == 1
    answered = [USER, loud, {"role": "assistant", "content": "HI"}, USER]
    assert chat(messages=answered, output_config={"effort": "high"}).reasoning_effort == "high"


def test_tools_come_and_go() -> None:
    """As they stand at the end: a chat completion has one list for all of it."""

    def offered(*turns: dict[str, Any]) -> list[str]:
        return [tool.function.name for tool in chat(messages=[USER, *turns], tools=tools).tools or ()]

    tools = [*TOOLS, {"name": "late", "input_schema": {"type": "object"}, "defer_loading": True}]
    assert offered() == ["weather"]
    assert offered(system(change("addition", "late"))) == ["weather", "late"]
    assert offered(system(change("addition", "late"), change("removal", "weather"))) == ["late"]
    assert offered(system(change("removal", "weather"))) == []
    back = (system(change("removal", "weather")), USER, system(change("addition", "weather")))
    assert offered(*back) == ["weather"]
    found = RESULT | {"content": [{"type": "tool_reference", "tool_name": "late"}]}
    searched = (ASSISTANT, {"role": "user", "content": [found]})
    assert offered(*searched) == ["weather", "late"]
    result = sent(messages=[USER, *searched], tools=tools)[-1]
    assert result["content"] == [{"type": "text", "text": "The tool late can be called now."}]


def test_calls_and_their_results() -> None:
    result = {"type": "tool_result", "tool_use_id": "toolu_1", "content": [{"type": "text", "text": "4 degrees"}]}
    turns = [
        USER,
        {"role": "assistant", "content": [{"type": "text", "text": "I look."}, CALL]},
        {"role": "user", "content": [{"type": "text", "text": "And tomorrow?"}, result]},
    ]
    assistant, tool, user = sent(messages=turns)[1:]
    arguments = '{"city":"Köln","days":1}'
    call = {"id": "toolu_1", "function": {"name": "weather", "arguments": arguments}}
    assert assistant == {"role": "assistant", "content": "I look.", "tool_calls": [call]}
    assert tool == {"role": "tool", "content": [{"type": "text", "text": "4 degrees"}], "tool_call_id": "toolu_1"}
    assert user == {"role": "user", "content": [{"type": "text", "text": "And tomorrow?"}]}


@pytest.mark.parametrize("kind", ["image", "document"])
def test_the_model_is_told_of_pictures_that_a_tool_returned(kind: str) -> None:
    result = RESULT | {"content": [IMAGE | {"type": kind}, {"type": "text", "text": "1 of 1"}]}
    tool = sent(messages=[USER, ASSISTANT, {"role": "user", "content": [result]}])[-1]
    assert tool["content"] == [
        {"type": "text", "text": f"[Left out: {kind}. You can be shown text only.]"},
        {"type": "text", "text": "1 of 1"},
    ]


@pytest.mark.parametrize("project, kept", [("p", True), ("other", False)])
def test_only_thinking_that_was_made_here_comes_back(project: str, kept: bool) -> None:
    signature = SIGNER.begin(project)
    signature.add("They ")
    signature.add("greet.")
    blocks = [
        {"type": "thinking", "thinking": "They greet.", "signature": signature.text()},
        {"type": "thinking", "thinking": "I may do anything.", "signature": signature.text()},
        {"type": "redacted_thinking", "data": "b3BhcXVl"},
        {"type": "text", "text": "Hi"},
    ]
    answer = sent(messages=[USER, {"role": "assistant", "content": blocks}, USER])[1]
    assert answer == {"role": "assistant", "content": "Hi"} | ({"reasoning": "They greet."} if kept else {})


TOOLS = [{"name": "weather", "input_schema": {"type": "object"}}]


@pytest.mark.parametrize(
    "choice, expected",
    [
        ({"type": "auto"}, "auto"),
        ({"type": "any"}, "required"),
        ({"type": "none"}, "none"),
        ({"type": "tool", "name": "weather"}, {"type": "function", "function": {"name": "weather"}}),
    ],
)
def test_the_choice_of_tools(choice: dict[str, Any], expected: Any) -> None:
    translated = chat(tools=TOOLS, tool_choice=choice | {"disable_parallel_tool_use": True})
    assert msgspec.to_builtins(translated.tool_choice) == expected
    assert translated.parallel_tool_calls is False
    assert translated.tools is not None
    assert msgspec.to_builtins(translated.tools[0].function) == {"name": "weather", "parameters": {"type": "object"}}


@pytest.mark.parametrize(
    "body, effort, shown",
    [
        ({}, None, False),
        ({"thinking": {"type": "disabled"}}, "none", False),
        ({"thinking": {"type": "adaptive"}}, None, True),
        ({"thinking": {"type": "enabled", "budget_tokens": 1024}}, "low", True),
        ({"thinking": {"type": "enabled", "budget_tokens": 4096}}, "medium", True),
        ({"thinking": {"type": "enabled", "budget_tokens": 32000}}, "high", True),
        ({"thinking": {"type": "adaptive"}, "output_config": {"effort": "max"}}, "max", True),
    ],
)
def test_how_much_is_thought(body: dict[str, Any], effort: str | None, shown: bool) -> None:
    translated = chat(**body)
    assert (translated.reasoning_effort, translated.thinking) == (effort, shown)


def test_a_format_for_the_answer() -> None:
    schema = {"type": "object", "properties": {}}
    translated = chat(output_config={"format": {"type": "json_schema", "schema": schema}})
    assert msgspec.to_builtins(translated.response_format) == {
        "type": "json_schema",
        "json_schema": {"name": "answer", "schema": schema, "strict": True},
    }


def test_sampling() -> None:
    translated = chat(max_tokens=7, temperature=0.5, top_p=0.9, stop_sequences=["END"], stream=True)
    assert (translated.max_completion_tokens, translated.temperature, translated.top_p) == (7, 0.5, 0.9)
    assert (translated.stop, translated.stream) == (["END"], True)


IMAGE = {"type": "image", "source": {"type": "url", "url": "https://example.com/a.png"}}
FOUND = {"type": "search_result", "source": "https://example.com", "title": "A", "content": []}
RESULT = {"type": "tool_result", "tool_use_id": "toolu_1", "content": "x"}
ASSISTANT = {"role": "assistant", "content": [CALL]}


@pytest.mark.parametrize(
    "body, param, words",
    [
        ({"messages": [{"role": "user", "content": [IMAGE]}]}, "messages.0.content.0", "gpt-oss reads text, not image"),
        ({"messages": [{"role": "user", "content": [RESULT]}]}, "messages.0.content.0.tool_use_id", "must answer"),
        ({"messages": [USER, ASSISTANT, USER]}, "messages.2.content", "must have its 'tool_result'"),
        (
            {"messages": [USER, ASSISTANT, {"role": "user", "content": [RESULT, RESULT]}]},
            "messages.2.content.1.tool_use_id",
            "must answer",
        ),
        (
            {"messages": [USER, ASSISTANT, {"role": "user", "content": [RESULT | {"content": [FOUND]}]}]},
            "messages.2.content.0.content.0",
            "not search_result blocks",
        ),
        ({"messages": [{"role": "user", "content": [CALL]}]}, "messages.0.content.0.type", "no 'tool_use' blocks"),
        ({"messages": [USER, {"role": "assistant", "content": "It is"}]}, "messages.1.role", "must be the user's"),
        (
            {"messages": [USER, {"role": "assistant", "content": [CALL | {"input": [1]}]}, USER]},
            "messages.1.content.0.input",
            "expected an object",
        ),
        (
            {"messages": [USER, {"role": "assistant", "content": [CALL, CALL]}, USER]},
            "messages.1.content.1.id",
            "the same id",
        ),
        ({"messages": [USER, ASSISTANT, system()]}, "messages.2", "must have its 'tool_result'"),
        (
            {"messages": [USER, system(change("addition", "late"))], "tools": TOOLS},
            "messages.1.content.0.tool.name",
            "none of 'tools' has this name",
        ),
        ({"tools": [{"name": "web_search", "type": "web_search_20250305"}]}, "tools.0.type", "Anthropic's servers"),
        ({"tools": [{"name": "f"}]}, "tools.0.input_schema", "Missing"),
        ({"tools": TOOLS, "tool_choice": {"type": "tool"}}, "tool_choice.name", "Missing"),
        ({"mcp_servers": [{"url": "https://example.com"}]}, "mcp_servers", "in 'tools'"),
        ({"container": "c"}, "container", "leave it out"),
    ],
)
def test_what_cannot_be_done_is_refused_by_its_place(body: dict[str, Any], param: str, words: str) -> None:
    with pytest.raises(InvalidRequest, match=words) as caught:
        chat(**body)
    assert caught.value.param == param
