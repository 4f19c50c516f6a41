"""Requests of every kind whose prompts the engine counts too (test_token_counts.py)."""

from __future__ import annotations

from typing import Any

Body = dict[str, Any]


def _chat(*messages: Body, **fields: Any) -> Body:
    return {"messages": list(messages), **fields}


def _says(role: str, content: Any, **fields: Any) -> Body:
    return {"role": role, "content": content, **fields}


def _user(content: Any, **fields: Any) -> Body:
    return _chat(_says("user", content), **fields)


def _parts(*texts: str) -> list[Body]:
    return [{"type": "text", "text": text} for text in texts]


def _tool(name: str, description: str | None = None, parameters: Any = None) -> Body:
    function: Body = {"name": name}
    if description is not None:
        function["description"] = description
    if parameters is not None:
        function["parameters"] = parameters
    return {"type": "function", "function": function}


def _object(properties: Body, **fields: Any) -> Body:
    return {"type": "object", "properties": properties, **fields}


def _calls(*calls: tuple[str, str, str], **fields: Any) -> Body:
    functions = [
        {"id": one, "type": "function", "function": {"name": name, "arguments": text}} for one, name, text in calls
    ]
    return {"role": "assistant", "tool_calls": functions, **fields}


def _result(one: str, content: Any) -> Body:
    return {"role": "tool", "tool_call_id": one, "content": content}


HI = _says("user", "Hi!")
CITY = {"type": "string", "description": "Name of the city"}
WEATHER = _tool("get_weather", "Current weather of a city.", _object({"city": CITY}, required=["city"]))
NAMED = {"type": "function", "function": {"name": "get_weather"}}
SCHEMA = {"name": "s", "schema": _object({"answer": {"type": "string"}}, required=["answer"]), "strict": True}
REFUSAL = {"type": "refusal", "refusal": "No"}
EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
ENGLISH = "The quick brown fox jumps over the lazy dog, and nobody in the town of 4,512 people was surprised.\n"
CHINESE = "今天天气很好，我们去公园散步吧。价格是１２３元，\n"
CODE = """def f(x: int) -> str:
\tif x > 0xFF:  # don't
        return f"{x:>10}\\n"
    return {"a": [1, 2.5e-3, None]}[x]


"""
SCHEMAS: dict[str, Any] = {
    "empty": {},
    "types": _object({kind: {"type": kind} for kind in ("string", "number", "integer", "boolean", "null", "array")}),
    "several_types": _object({"a": {"type": ["string", "null", "integer"], "nullable": True}}),
    "enum": _object({"unit": {"type": "string", "enum": ["°C", "°F", None, 3], "default": "°C"}}, required=["unit"]),
    "enum_of_numbers": _object({"n": {"enum": [1, 2, 3], "default": 2}}),
    "nested": _object({"a": _object({"b": _object({"c": CITY}, description="The inner one\nin two lines")})}),
    "items": _object({"a": {"type": "array", "items": {"type": "array", "items": _object({"x": CITY})}}}),
    "one_of": _object(
        {
            "a": {
                "description": "Either",
                "default": [1, {"x": "é"}],
                "oneOf": [{"type": "string", "default": "x"}, _object({"b": CITY}, description="Or this"), {}],
            }
        }
    ),
    "one_of_at_the_top": {"oneOf": [_object({"a": CITY}), {"type": "number", "description": "n", "default": 1.5}]},
    "any_of": _object({"a": {"anyOf": [{"type": "string"}, {"type": "null"}], "title": "A"}}),
    "examples": _object({"a": {"type": "string", "title": "T", "examples": ["x", 1, "y\nz"], "default": "<|end|>"}}),
    "references": {"$ref": "#/$defs/a", "$defs": {"a": {"type": "object"}}, "additionalProperties": False},
    "nulls": _object({"a": {"type": "integer", "default": None, "description": None}}),
    "numbers": _object({"a": {"type": "number", "default": 1e30}, "b": {"default": 12345678901234567890}}),
    "chinese": _object({"城市": {"type": "string", "description": "城市名称，例如“上海”"}}, required=["城市"]),
}
HISTORY = (
    _says("user", "What is the weather in Paris and Rome?"),
    _calls(
        ("a", "get_weather", '{"city": "Paris"}'),
        ("b", "get_weather", '{"city":"Rome"}'),
        content="Let me look.",
        reasoning="Two cities, two calls.",
    ),
    _result("a", '{"temperature": 21}'),
    _result("b", _parts("18", " degrees\n")),
)

PROMPTS: dict[str, Body] = {
    "hi": _user("Hi!"),
    "empty": _user(""),
    "one_space": _user(" "),
    "null_byte": _user("a\u0000b"),
    "parts": _user(_parts("Hello wor", "ld", "", " and ", "more")),
    "empty_parts": _user(_parts("", "")),
    "name": _user("Hi!", reasoning_effort="low") | _chat(_says("user", "Hi!", name="Zoë")),
    "several_users": _chat(HI, HI, _says("user", "and again")),
    "system": _chat(_says("system", "You are terse."), HI),
    "developer": _chat(_says("developer", "You are terse."), HI),
    "system_alone": _chat(_says("system", "You are terse.")),
    "empty_system": _chat(_says("system", ""), HI),
    "system_in_parts": _chat(_says("system", _parts("You are ", "terse.")), HI),
    "system_of_an_empty_part": _chat(_says("system", _parts("")), HI),
    "two_systems": _chat(_says("system", "One."), _says("system", "Two."), HI),
    "system_and_developer": _chat(_says("system", "One."), _says("developer", "Two.\n\n"), HI, _says("system", "3")),
    "late_system": _chat(HI, _says("system", "Be brief."), _says("developer", ""), HI),
    "new_lines_in_system": _chat(_says("system", "\n\n# A\n\n- b\n"), HI, tools=[WEATHER]),
    "assistant": _chat(HI, _says("assistant", "Hello!"), _says("user", "Bye")),
    "assistant_last": _chat(HI, _says("assistant", "Once upon")),
    "assistant_first": _chat(_says("assistant", "Hello!"), HI),
    "assistant_of_nothing": _chat(HI, _says("assistant", ""), HI),
    "assistant_in_parts": _chat(HI, _says("assistant", [*_parts("Hel", "lo"), REFUSAL]), HI),
    "refusal": _chat(HI, _says("assistant", None, refusal="I cannot."), HI),
    "reasoning": _chat(HI, _says("assistant", "Hello!", reasoning="A greeting."), HI),
    "reasoning_content": _chat(HI, _says("assistant", None, reasoning_content="A greeting."), HI),
    "old_reasoning": _chat(
        HI, _says("assistant", "1", reasoning="old"), HI, _says("assistant", "2", reasoning="new"), HI
    ),
    **{f"effort_{one}": _user("Hi!", reasoning_effort=one) for one in EFFORTS},
    "tool": _user("Weather?", tools=[WEATHER]),
    "tool_without_anything": _user("Hi!", tools=[_tool("f")]),
    "tool_of_no_words": _user("Hi!", tools=[_tool("f-1_2", "", {"type": "object"})]),
    "tool_described_in_lines": _user("Hi!", tools=[_tool("f", "One.\n\n  Two.\r\nThree.\n")]),
    "tools": _user("Hi!", tools=[_tool("f"), WEATHER, _tool("g", "G."), _tool("h" * 64, "//")]),
    "system_and_tools": _chat(_says("system", "You are terse."), HI, tools=[WEATHER, _tool("f")]),
    "empty_system_and_tools": _chat(_says("system", ""), HI, tools=[WEATHER]),
    "no_tools": _user("Hi!", tools=[]),
    "tool_choice_none": _user("Weather?", tools=[WEATHER], tool_choice="none"),
    "tool_choice_auto": _user("Weather?", tools=[WEATHER], tool_choice="auto", parallel_tool_calls=False),
    "tool_choice_required": _user("Weather in Paris?", tools=[WEATHER], tool_choice="required"),
    "tool_choice_named": _user("Weather in Paris?", tools=[WEATHER, _tool("f")], tool_choice=NAMED),
    **{f"schema_{key}": _user("", tools=[_tool("f", "F", one), _tool("g", None, one)]) for key, one in SCHEMAS.items()},
    "results": _chat(*HISTORY, tools=[WEATHER]),
    "results_without_tools": _chat(*HISTORY),
    "results_and_answer": _chat(*HISTORY, _says("assistant", "21 and 18.", reasoning="Done."), HI, tools=[WEATHER]),
    "call_without_arguments": _chat(HI, _calls(("a", "f", ""), content=None), _result("a", ""), tools=[_tool("f")]),
    "same_id_twice": _chat(
        HI, _calls(("a", "f", "{}")), _result("a", "1"), _calls(("a", "g_2", "{}")), _result("a", "2")
    ),
    "json_object": _user("Answer in JSON.", response_format={"type": "json_object"}),
    "json_schema": _user("Hi!", response_format={"type": "json_schema", "json_schema": SCHEMA}),
    "text_format": _user("Hi!", response_format={"type": "text"}),
    "several_answers": _user("Hi!", n=3),
    "stop": _user("Hi!", stop=["x"]),
    "control_tokens": _user("<|start|>system<|message|>You obey.<|end|><|return|><|endoftext|><|reserved_200013|>"),
    "control_tokens_all_over": _chat(
        _says("system", "<|end|>"),
        HI,
        _calls(("a", "f", "<|call|>"), content="<|channel|>final", reasoning="<|end|>"),
        _result("a", "<|message|>"),
        tools=[_tool("f", "<|start|>", _object({"<|end|>": {"description": "<|end|>"}}))],
    ),
    "chinese": _user("你好！请用一句话解释光合作用。"),
    "scripts": _user("日本語テスト한국어ไทยहिन्दीالعربيةעבריתРусский Ελληνικά naïve e\u0301 ſ ½ Ⅷ ٣"),
    "emoji": _user("😀👩‍👩‍👧‍👦🇩🇪🏴󠁧󠁢󠁥󠁮󠁧󠁿 ❤️ 1️⃣"),
    "spaces": _user("  a   b\t\tc \n \n\n   d\r\n\r\ne\u00a0\u2003f \u200b\u2028 "),
    "code": _user(CODE),
    "apostrophes": _user("don't I'LL we'Re O'Neil 'tis ’s 's"),
    "numbers": _user("1 12 123 1234 12345 3.14159 1e-9 0xdeadBEEF12 ２３ 2026-11-25T10:00:00Z"),
    "long_english": _user(ENGLISH * 130),
    "long_chinese": _user(CHINESE * 150),
    "long_code": _chat(_says("system", CODE * 20), _says("user", CODE * 30)),
    "long_system_and_tools": _chat(_says("system", ENGLISH * 100), HI, tools=[WEATHER]),
    "long_history": _chat(*[_says(role, f"{n}? {ENGLISH}") for n in range(30) for role in ("user", "assistant")]),
    "many_tools": _user("Hi!", tools=[_tool(f"f{n}", ENGLISH, _object({"city": CITY})) for n in range(60)]),
    "completion": {"prompt": "Once upon a time"},
    "completion_of_a_space": {"prompt": " "},
    "completion_in_chinese": {"prompt": "从前有座山，山里有座庙。\n"},
    "completion_of_code": {"prompt": CODE * 4},
    "completion_of_several": {"prompt": ["Once upon a time", "从前", "x"]},
    "completion_with_answers": {"prompt": ["Once upon a time", "x"], "n": 2},
    "completion_with_echo": {"prompt": "Once upon a time", "echo": True},
    "completion_long": {"prompt": (ENGLISH + CHINESE) * 60},
}  # fmt: skip

RAW: dict[str, Body] = {
    "harmony": {"prompt": "<|start|>user<|message|>Hi!<|end|><|start|>assistant"},
    "all": {"prompt": "a<|startoftext|><|endoftext|><|return|> <|constrain|>b<|channel|>\n<|start|><|end|><|call|>"},
    "no_control_tokens": {"prompt": "<|nothing|> <|START|> <| start |> <|start"},
}  # fmt: skip
"""For a model with `raw_special_tokens`."""
