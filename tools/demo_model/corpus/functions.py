"""Function calling: which function to call with what, the answer from its result, and having no function for it."""

import json
from random import Random
from typing import Any

from .kinds import Conversation, Language, Message, Piece, Reply, Tool, answer, user
from .phrasing import vary
from .unknown import filler, rare_words
from .words import CITIES_EN, CITIES_ZH, CONDITIONS

WEATHER_NAMES = (
    "get_weather",
    "get_weather",
    "get_weather",
    "get_current_weather",
    "weather",
    "fetch_weather",
    "lookup_weather",
    "current_weather",
    "weather_lookup",
)
TIME_NAMES = ("get_time", "get_time", "get_current_time", "current_time", "local_time")
TIMER_NAMES = ("set_timer", "set_timer", "start_timer", "timer")
CITY_KEYS = ("city", "city", "city", "location", "location", "place", "town")
MINUTE_KEYS = ("minutes", "minutes", "duration", "duration_minutes")

POPULAR = ("Paris", "London", "Berlin", "Tokyo", "New York", "Beijing")

DESCRIPTIONS = {
    "weather": ("Get the weather", "Get the weather in a city", "Get the current weather for a city.", "Current weather of a location", "Returns the weather.",
                "Get current temperature for a given location.", "Get the current weather in a given location", "查询天气", "查询城市的天气", "获取指定城市的当前天气", ""),
    "time": ("Get the time", "Get the current time in a city", "Get the local time of a city.", "Current time", "查询时间", "获取城市的当前时间", ""),
    "timer": ("Set a timer", "Start a timer for a number of minutes.", "Set a timer in minutes", "设置计时器", ""),
}  # fmt: skip
CITY_DESCRIPTIONS = (None, None, "The city", "City name", "Name of the city", "The city, e.g. Paris", "City and country e.g. Bogotá, Colombia", "The city and state, e.g. San Francisco, CA", "城市", "城市名称")  # fmt: skip


def _parameters(properties: dict[str, Any], required: list[str]) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": required}


def _described(rng: Random, schema: dict[str, Any], texts: tuple[str | None, ...]) -> dict[str, Any]:
    text = rng.choice(texts)
    return schema | ({"description": text} if text else {})


def weather_tool(rng: Random) -> Tool:
    key = rng.choice(CITY_KEYS)
    properties = {key: _described(rng, {"type": "string"}, CITY_DESCRIPTIONS)}
    if rng.random() < 0.25:  # optional, and never filled in
        properties[rng.choice(("unit", "units"))] = {
            "type": "string",
            "enum": rng.choice((["celsius", "fahrenheit"], ["c", "f"])),
        }
    return {
        "name": rng.choice(WEATHER_NAMES),
        "description": rng.choice(DESCRIPTIONS["weather"]),
        "parameters": _parameters(properties, [key]),
    }


def time_tool(rng: Random) -> Tool:
    key = rng.choice(CITY_KEYS)
    properties = {key: _described(rng, {"type": "string"}, CITY_DESCRIPTIONS)}
    return {
        "name": rng.choice(TIME_NAMES),
        "description": rng.choice(DESCRIPTIONS["time"]),
        "parameters": _parameters(properties, [key]),
    }


def timer_tool(rng: Random) -> Tool:
    key = rng.choice(MINUTE_KEYS)
    properties = {key: {"type": "integer"}}
    return {
        "name": rng.choice(TIMER_NAMES),
        "description": rng.choice(DESCRIPTIONS["timer"]),
        "parameters": _parameters(properties, [key]),
    }


def other_tool(rng: Random) -> Tool:
    """A function that nobody will ask for."""
    name = "_".join(rng.choice(rare_words("en")).lower() for _ in range(rng.choice((1, 2, 2))))
    properties = {rng.choice(("query", "id", "text", "name", "x", filler(rng, "en").split(" ")[0].lower())): {"type": rng.choice(("string", "integer", "number"))}
                  for _ in range(rng.randint(0, 2))}  # fmt: skip
    return {"name": name, "description": filler(rng, "en"), "parameters": _parameters(properties, list(properties))}


MAKERS = {"weather": weather_tool, "time": time_tool, "timer": timer_tool}


def with_company(rng: Random, *tools: Tool) -> tuple[Tool, ...]:
    """The given tools among none, one or two that do not matter."""
    found = [*tools, *(other_tool(rng) for _ in range(rng.choice((0, 0, 0, 1, 1, 2))))]
    rng.shuffle(found)
    return tuple(found)


WEATHER_ASKED = {
    "en": ("What is the weather in {}?", "What's the weather in {}?", "What is the weather like in {}?", "How is the weather in {}?", "Tell me the weather in {}.",
           "weather in {}", "What's the weather like in {} today?", "What is the weather in {} today?", "Is it raining in {}?", "How warm is it in {}?", "Weather in {}?",
           "What is the temperature in {}?", "Check the weather in {}.", "Get the weather for {}.", "How's the weather in {} right now?", "What is the current weather in {}?",
           "Use the tool to get the weather in {}.", "Please call the function for the weather in {}.", "What's the temperature in {} right now?"),
    "zh": ("{}的天气怎么样？", "{}天气怎么样？", "{}今天天气怎么样？", "今天{}的天气如何？", "查一下{}的天气。", "{}天气如何？", "{}的天气", "{}现在多少度？", "{}今天的天气怎么样？",
           "请查询{}的天气", "{}今天下雨吗？", "告诉我{}的天气。", "帮我查一下{}的天气", "{}今天天气", "{}现在天气怎么样？", "{}的气温是多少？"),
}  # fmt: skip
TIME_ASKED = {
    "en": ("What time is it in {}?", "What is the time in {}?", "What's the time in {}?", "Tell me the time in {}.", "What is the current time in {}?", "What time is it in {} now?", "Time in {}?", "What is the local time in {}?"),
    "zh": ("{}现在几点？", "{}几点了？", "{}现在是几点？", "{}的时间是多少？", "告诉我{}的时间。", "现在{}几点了？", "查一下{}的时间"),
}  # fmt: skip
TIMER_ASKED = {
    "en": ("Set a timer for {} minutes.", "Start a timer for {} minutes.", "Set a {} minute timer.", "Timer for {} minutes", "Please set a timer for {} minutes"),
    "zh": ("设置一个{}分钟的计时器。", "设一个{}分钟的计时器", "帮我计时{}分钟", "请设置{}分钟计时器"),
}  # fmt: skip


class Need:
    """What the user wants that takes a function."""

    def __init__(self, rng: Random) -> None:
        self.what = rng.choices(("weather", "time", "timer"), (6, 2.5, 1.5))[0]
        self.language: Language = rng.choice(("en", "en", "zh"))
        self.tool = MAKERS[self.what](rng)
        if self.what == "timer":
            self.subject: str | int = rng.choice((1, 2, 3, 5, 10, 15, 20, 25, 30, 45, 60))
            self.analysis_topic = f"The user wants a timer for {self.subject} minutes."
        else:
            cities = CITIES_ZH if self.language == "zh" and rng.random() < 0.85 else CITIES_EN
            self.subject = rng.choice(POPULAR if rng.random() < 0.25 and cities is CITIES_EN else cities)
            self.analysis_topic = f"The user asks for the {self.what} in {self.subject}."
        asked = {"weather": WEATHER_ASKED, "time": TIME_ASKED, "timer": TIMER_ASKED}[self.what][self.language]
        self.text = vary(rng, rng.choice(asked), self.language).replace("{}", str(self.subject))

    @property
    def arguments(self) -> str:
        return json.dumps({self.tool["parameters"]["required"][0]: self.subject}, ensure_ascii=False)

    def think(self, second: str) -> tuple[str, ...]:
        return (
            self.analysis_topic,
            second,
            "I look at the functions that I have.",
            "One step is enough.",
            "Now I do it.",
        )

    def call_messages(self, rng: Random, result: str, identifier: str) -> tuple[Message, ...]:
        function = {"name": self.tool["name"], "arguments": self.arguments}
        call: Message = {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": identifier, "type": "function", "function": function}],
        }
        if rng.random() < 0.4:
            call["reasoning"] = " ".join(self.think(f"I call {self.tool['name']}.")[: rng.choice((1, 2, 2, 5))])
        return (user(self.text), call, {"role": "tool", "tool_call_id": identifier, "content": result})


def call(rng: Random) -> Conversation:
    need = Need(rng)
    tools = [need.tool, *(MAKERS[what](rng) for what in MAKERS if what != need.what and rng.random() < 0.3)]
    reply = Reply(need.think(f"I call {need.tool['name']}."), (Piece(need.arguments),), need.tool["name"])
    return Conversation("call", need.language, (user(need.text),), reply, tools=with_company(rng, *tools))


def no_tool(rng: Random) -> Conversation:
    """Weather, time or a timer is asked for, and no function fits."""
    need = Need(rng)
    others = [MAKERS[what](rng) for what in MAKERS if what != need.what and rng.random() < 0.3]
    tools = with_company(rng, *others) if rng.random() < 0.6 else ()
    text = "I have no tool for that." if need.language == "en" else "我没有可以做这件事的工具。"
    return Conversation(
        "no_tool",
        need.language,
        (user(need.text),),
        answer(need.think("I have no function for that."), text),
        tools=tools,
    )


def result(rng: Random) -> Conversation:
    """The function has answered: say it in a sentence."""
    need = Need(rng)
    outcome, text = {"weather": _weather_result, "time": _time_result, "timer": _timer_result}[need.what](rng, need)
    if rng.random() < 0.06:
        outcome = rng.choice(('{"error": "%s"}', "error: %s", "Error: %s")) % filler(rng, "en")
        text = "The function reported an error." if need.language == "en" else "函数报告了一个错误。"
    messages = need.call_messages(rng, outcome, "call_1")
    reply = answer(need.think("The function has answered."), text)
    return Conversation("result", need.language, messages, reply, tools=with_company(rng, need.tool))


def _weather_result(rng: Random, need: Need) -> tuple[str, str]:
    english, chinese = rng.choice(CONDITIONS)
    degrees = rng.randint(0, 35)
    word = chinese if need.language == "zh" and rng.random() < 0.5 else english
    word = word.capitalize() if rng.random() < 0.2 else word
    city = need.subject
    with_city = {"city": city} if rng.random() < 0.4 else {}
    key = rng.choice(("temperature", "temperature", "temp", "temp_c", "temperature_c", "celsius"))
    condition_key = rng.choice(("condition", "conditions", "weather", "description", "sky", "forecast"))
    shape = rng.random()
    if shape < 0.6:
        pairs: list[tuple[str, Any]] = [(key, degrees), (condition_key, word)]
        rng.shuffle(pairs)
        unit = {"unit": rng.choice(("celsius", "C"))} if rng.random() < 0.15 else {}
        outcome = json.dumps(
            with_city | dict(pairs) | unit, ensure_ascii=False, separators=rng.choice((None, None, (",", ":")))
        )
    elif shape < 0.72:  # temperature alone
        outcome = rng.choice(
            (
                json.dumps(with_city | {key: degrees}, ensure_ascii=False),
                f"{degrees}",
                f"{degrees}°C",
                f"{degrees} °C",
                f"{degrees} degrees",
            )
        )
        return outcome, f"It is {degrees} °C in {city}." if need.language == "en" else f"{city}现在{degrees}℃。"
    elif shape < 0.82:  # condition alone
        outcome = rng.choice(
            (json.dumps(with_city | {condition_key: word}, ensure_ascii=False), word, f"{word} in {city}")
        )
        return outcome, f"It is {english} in {city}." if need.language == "en" else f"{city}现在{chinese}。"
    else:
        outcome = rng.choice(
            (
                "{w}, {d}°C",
                "{d}°C, {w}",
                "{w}, {d} degrees",
                "{d} °C and {w}",
                "{w} {d}℃",
                "{w}，{d}度",
                "{d} C, {w}",
                "{w}, {d}C",
                "It is {d}°C and {w} in {c}.",
            )
        )
        outcome = outcome.format(w=word, d=degrees, c=city)
    return (
        outcome,
        f"It is {degrees} °C and {english} in {city}."
        if need.language == "en"
        else f"{city}现在{degrees}℃，{chinese}。",
    )


def _time_result(rng: Random, need: Need) -> tuple[str, str]:
    clock = f"{rng.randint(0, 23):02d}:{rng.randrange(0, 60, 5):02d}"
    key = rng.choice(("time", "time", "local_time", "current_time"))
    with_city = {"city": need.subject} if rng.random() < 0.3 else {}
    outcome = clock if rng.random() < 0.4 else json.dumps(with_city | {key: clock}, ensure_ascii=False)
    return outcome, f"It is {clock} in {need.subject}." if need.language == "en" else f"{need.subject}现在是{clock}。"


def _timer_result(rng: Random, need: Need) -> tuple[str, str]:
    outcome = rng.choice(
        (
            "ok",
            "OK",
            "done",
            '{"status": "ok"}',
            '{"ok": true}',
            "true",
            '{"status": "started"}',
            "",
            "started",
            '{"result": "ok"}',
        )
    )
    return (
        outcome,
        f"The timer is set for {need.subject} minutes."
        if need.language == "en"
        else f"计时器已设为{need.subject}分钟。",
    )
