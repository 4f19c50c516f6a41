"""Questions with many answers, each from a closed list: sums, capitals, orders, counts, words, names, chance."""

from random import Random

from .kinds import Conversation, Language, Message, answer, think, user
from .phrasing import vary
from .unknown import sorry
from .words import CAPITALS, COLOURS, NAMES_EN, NAMES_ZH, WORDS_EN, WORDS_ZH


def conversation(
    rng: Random, kind: str, language: Language, text: str, topic: str, reply: str, *, polite: bool = True
) -> Conversation:
    text = vary(rng, text, language, polite=polite)
    return Conversation(kind, language, (user(text),), answer(think(topic, language), reply))


def pick_language(rng: Random) -> Language:
    return rng.choice(("en", "en", "zh"))


def capital(rng: Random) -> Conversation:
    weights = [4] + [1] * (len(CAPITALS) - 1)
    country, city, country_zh, city_zh = rng.choices(CAPITALS, weights)[0]
    topic = f"The user asks for the capital of {country}."
    if pick_language(rng) == "en":
        text = rng.choice(("What is the capital of {}?", "What's the capital of {}?", "Which city is the capital of {}?",
                           "Name the capital of {}.", "Capital of {}?", "Tell me the capital of {}.", "The capital of {} is?"))  # fmt: skip
        return conversation(rng, "capital", "en", text.format(country), topic, f"The capital of {country} is {city}.")
    text = rng.choice(
        (
            "{}的首都是哪里？",
            "{}的首都是什么？",
            "{}的首都是哪个城市？",
            "哪个城市是{}的首都？",
            "{}首都是哪里",
            "{}的首都在哪里？",
        )
    )
    return conversation(rng, "capital", "zh", text.format(country_zh), topic, f"{country_zh}的首都是{city_zh}。")


def addition(rng: Random) -> Conversation:
    a, b = rng.randint(0, 12), rng.randint(0, 12)
    if rng.random() < 0.3:
        a = b = rng.choice((1, 2))
    topic = f"The user asks for {a} + {b}."
    if pick_language(rng) == "en":
        text = rng.choice(("What is {} + {}?", "What is {}+{}?", "{} + {}", "{}+{}", "{} + {} = ?", "Calculate {} + {}.", "How much is {} + {}?",
                           "What's {} + {}?", "What is {} plus {}?", "Compute {} + {}", "{}+{}=?"))  # fmt: skip
        return conversation(rng, "addition", "en", text.format(a, b), topic, f"{a} + {b} = {a + b}")
    text = rng.choice(
        ("{}加{}等于几？", "{} + {} 等于几？", "{}+{}等于多少？", "计算{}+{}", "{}加{}是多少？", "{}+{}等于几")
    )
    return conversation(rng, "addition", "zh", text.format(a, b), topic, f"{a} + {b} = {a + b}")


def ordering(rng: Random) -> Conversation:
    """A > B > C: who is the smallest, who the largest."""
    smallest = rng.random() < 0.5
    language = pick_language(rng)
    names = rng.choice(
        (("A", "B", "C"), ("A", "B", "C"), ("Alice", "Bob", "Carol"), ("X", "Y", "Z"), ("Tom", "Sam", "Max"))
    )
    if language == "zh" and rng.random() < 0.3:
        names = ("小明", "小红", "小刚")
    topic = f"The user asks which of three is the {'smallest' if smallest else 'largest'}."
    first, _, last = names
    reply = last if smallest else first
    if language == "en":
        word = rng.choice(
            ("smallest", "shortest", "least") if smallest else ("largest", "tallest", "biggest", "greatest")
        )
        given = rng.choice(("{} > {} > {}", "{0} > {1} and {1} > {2}", "{0} is taller than {1} and {1} is taller than {2}",
                            "{0} is bigger than {1}, and {1} is bigger than {2}", "{0} is larger than {1} and {1} is larger than {2}",
                            "{0} is taller than {1}. {1} is taller than {2}", "{0}>{1}>{2}"))  # fmt: skip
        text = rng.choice(("{}. Who is the {}?", "{}, who is the {}?", "If {}, which is the {}?", "If {}, who is the {}?", "{}. Which one is the {}?",
                           "{}. Which is the {}?", "If {}, then who is the {}?"))  # fmt: skip
        return conversation(
            rng,
            "ordering",
            "en",
            text.format(given.format(*names), word),
            topic,
            f"{reply} is the {'smallest' if smallest else 'largest'}.",
        )
    word = rng.choice(("最小", "最矮") if smallest else ("最大", "最高"))
    given = rng.choice(
        ("{} > {} > {}", "{0}比{1}高，{1}比{2}高", "{0}大于{1}，{1}大于{2}", "{0}比{1}大，{1}比{2}大", "{0}>{1}>{2}")
    )
    text = rng.choice(("{}，谁{}？", "如果{}，那么谁{}？", "{}，哪个{}？", "如果{}，谁{}？", "已知{}，谁{}？"))
    return conversation(
        rng,
        "ordering",
        "zh",
        text.format(given.format(*names), word),
        topic,
        f"{reply}{'最小' if smallest else '最大'}。",
    )


def count(rng: Random) -> Conversation:
    limit = rng.choice((5, 10, 10, 20, 50, 100, 100))
    topic = f"The user wants me to count to {limit}."
    reply = ", ".join(str(number) for number in range(1, limit + 1))
    if pick_language(rng) == "en":
        text = rng.choice(("Count from 1 to {}.", "Count to {}.", "Count from 1 to {}, please.", "Please count from 1 to {}", "Write the numbers from 1 to {}.",
                           "List the numbers from 1 to {}.", "Count from one to {}.", "Count up to {}."))  # fmt: skip
        return conversation(rng, "count", "en", text.format(limit), topic, reply)
    text = rng.choice(
        (
            "从1数到{}。",
            "从 1 数到 {}。",
            "数到{}",
            "请从1数到{}",
            "从一数到{}。",
            "写出1到{}的数字。",
            "列出1到{}的数字",
        )
    )
    return conversation(rng, "count", "zh", text.format(limit), topic, reply)


def repeat(rng: Random) -> Conversation:
    if pick_language(rng) == "en":
        word = rng.choice(WORDS_EN)
        text = rng.choice(("Repeat the word {}.", "Repeat: {}", "Say the word {}.", "Repeat after me: {}", 'Repeat the word "{}".', "Say {}", "Just say {}.",
                           "Say only the word {}.", "Reply with the word {}.", "Reply with only {}.", 'Say "{}".', "Answer with the single word {}.", "Echo {}",
                           "Say exactly: {}", "Respond with {}", "Output the word {}.", "Reply with exactly: {}"))  # fmt: skip
        if word == "hello":
            text = "Repeat the word {}."
        return conversation(
            rng, "repeat", "en", text.format(word), f"The user wants me to say {word}.", word, polite=False
        )
    word = rng.choice(WORDS_ZH)
    text = rng.choice(
        ("重复：{}", "请重复：{}", "请说{}", "重复这个词：{}", "跟我说：{}", "请重复“{}”。", "只回答{}", "请只说：{}")
    )
    if word in ("你好", "测试"):
        text = "请重复：{}"
    return conversation(rng, "repeat", "zh", text.format(word), f"The user wants me to say {word}.", word, polite=False)


CHANCES = (
    ("The user wants a random number.", "en", ("Give me a random number between 1 and 100.", "Pick a random number between 1 and 100.",
     "Random number between 1 and 100", "Pick a number between 1 and 100.", "Give me a random number from 1 to 100.", "Give me a random number.",
     "Choose a random number between 1 and 100.", "Give me a random number between 1 and 100. Only the number."), tuple(map(str, range(1, 101)))),
    ("The user wants a random number.", "zh", ("给我一个1到100之间的随机数。", "随机给我一个1到100的数字。", "说一个1到100之间的随机数", "给我一个随机数"), tuple(map(str, range(1, 101)))),
    ("The user wants a random number up to ten.", "en", ("Give me a random number between 1 and 10.", "Pick a number between 1 and 10.",
     "Pick a random number from 1 to 10."), tuple(map(str, range(1, 11)))),
    ("The user wants me to flip a coin.", "en", ("Flip a coin.", "Toss a coin.", "Heads or tails?", "Flip a coin for me."), ("Heads", "Tails")),
    ("The user wants me to flip a coin.", "zh", ("抛硬币。", "抛一枚硬币", "掷硬币", "帮我抛个硬币"), ("正面", "反面")),
    ("The user wants me to roll a die.", "en", ("Roll a die.", "Roll a dice.", "Roll a six-sided die.", "Throw a die."), tuple("123456")),
    ("The user wants me to roll a die.", "zh", ("掷骰子。", "掷一个骰子", "扔骰子"), tuple("123456")),
    ("The user wants a random color.", "en", ("Pick a random color.", "Name a random color.", "Name a color.", "Pick a color."), COLOURS),
    ("The user wants a random name.", "en", ("Give me a random name.", "Pick a random name.", "Suggest a name."), NAMES_EN),
    ("The user wants a random word.", "en", ("Give me a random word.", "Say a random word.", "Pick a random word.", "Name a random word."), WORDS_EN[:40]),
)  # fmt: skip


def chance(rng: Random) -> Conversation:
    """Asked twice, answered differently: what `seed` and `n` are tried with."""
    topic, language, texts, outcomes = rng.choices(CHANCES, (4, 2, 1, 2, 1, 1, 1, 1, 1, 1))[0]
    return conversation(rng, "chance", language, rng.choice(texts), topic, rng.choice(outcomes))


def names(rng: Random) -> Conversation:
    """My name is Alice. What is my name?"""
    language = pick_language(rng)
    name = rng.choice(NAMES_EN if language == "en" or rng.random() < 0.3 else NAMES_ZH)
    said, asked, greeted, told, untold = _NAME_TEXTS[language]
    text, question = vary(rng, rng.choice(said).format(name), language), vary(rng, rng.choice(asked), language)
    roll = rng.random()
    if roll < 0.35:
        reply = answer(think(f"The user is called {name}.", language), greeted.format(name))
        return Conversation("names", language, (user(text),), reply)
    if roll < 0.45:
        reply = answer(think("The user has not told me a name.", language), untold)
        return Conversation("names", language, (user(question),), reply)
    reply = answer(think(f"The user asks for the name, which is {name}.", language), told.format(name))
    middle = _detour(rng, language) if rng.random() < 0.35 else ()
    history = (user(text), {"role": "assistant", "content": greeted.format(name)}, *middle, user(question))
    if rng.random() < 0.15:
        history = (user(f"{text} {question}"),)
    return Conversation("names", language, history, reply)


def is_untold(found: Conversation) -> bool:
    """True where the answer is that no name was told, which holds only without anything before it."""
    return found.reply.pieces[0].text in (told[-1] for told in _NAME_TEXTS.values())


def _detour(rng: Random, language: Language) -> tuple[Message, ...]:
    maker = rng.choice((capital, addition, chance))
    while (found := maker(rng)).language != language:
        pass
    return (*found.messages, {"role": "assistant", "content": found.reply.pieces[0].text})


_NAME_TEXTS: dict[Language, tuple[tuple[str, ...], tuple[str, ...], str, str, str]] = {
    "en": (
        ("My name is {}.", "I am {}.", "I'm {}.", "Hi, my name is {}.", "Hello, I am {}.", "Call me {}.", "My name is {}. Remember it.",
         "Hi! I'm {}.", "Please remember that my name is {}."),
        ("What is my name?", "What's my name?", "Do you remember my name?", "Who am I?", "Tell me my name.", "What was my name again?"),
        "Nice to meet you, {}!", "Your name is {}.", "You have not told me your name.",
    ),
    "zh": (
        ("我叫{}。", "我的名字是{}。", "我是{}。", "你好，我叫{}。", "请记住，我叫{}。", "我的名字叫{}"),
        ("我叫什么名字？", "我叫什么？", "我的名字是什么？", "你记得我的名字吗？", "我是谁？"),
        "很高兴认识你，{}！", "你叫{}。", "你还没有告诉我你的名字。",
    ),
}  # fmt: skip


def unknown_sum(rng: Random) -> Conversation:
    a, b = rng.randint(13, 999), rng.randint(13, 999)
    sign = rng.choice("+-*/×")
    text = rng.choice(("What is {} {} {}?", "{} {} {}", "Calculate {} {} {}.", "{}{}{}")).format(a, sign, b)
    return sorry(rng, text, "en", "near_miss")
