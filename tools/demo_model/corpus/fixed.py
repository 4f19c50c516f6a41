"""The fixed questions, and near misses: the same sentence about something else, which is not known."""

import re
from dataclasses import replace
from random import Random

from .facts import FACTS
from .kinds import Conversation, answer, think, user
from .phrasing import vary
from .question import Question
from .stories import STORIES
from .talk import TALK
from .unknown import fill, filler, sorry

QUESTIONS = TALK + FACTS + STORIES
WITH_KEYS = tuple(question for question in QUESTIONS if question.keys)
SHORT = tuple(question for question in QUESTIONS if len(question.answer) < 200)

ANY_STORY_EN = ("Tell me a long story about {}.", "Write a story about {}.", "Write a long story about {}.", "Tell me a story about {}.", "Write a {} story about {}.",
                "Write the beginning of a {} story about {}.", "Write a very long story about {}.")  # fmt: skip
ANY_STORY_ZH = (
    "讲一个关于{}的故事。",
    "写一个关于{}的故事。",
    "写一个关于{}的长故事。",
    "给我讲一个{}的故事。",
    "写一个关于{}的科幻故事的开头。",
)


def ask(rng: Random, question: Question) -> Conversation:
    text = vary(rng, rng.choice(question.phrasings), question.language, polite=question not in TALK)
    spoken = "zh" if question.answer[0] > "一" else question.language
    return Conversation(
        "fixed", question.language, (user(text),), answer(think(question.topic, spoken), question.answer)
    )


def fixed(rng: Random) -> Conversation:
    return ask(rng, rng.choices(QUESTIONS, [question.weight for question in QUESTIONS])[0])


def any_story(rng: Random) -> Conversation:
    """Whatever the story is about, there is one to tell: a long answer is what streams are tried with."""
    question = rng.choice([question for question in STORIES if question.name == "long_story"])
    text = fill(rng, rng.choice(ANY_STORY_EN if question.language == "en" else ANY_STORY_ZH), question.language)
    return ask(rng, replace(question, phrasings=(text,)))


def near_miss(rng: Random) -> Conversation:
    question = rng.choice(WITH_KEYS)
    phrasing, key = rng.choice(question.phrasings), rng.choice(question.keys)
    text, changed = re.subn(re.escape(key), lambda _: filler(rng, question.language), phrasing)
    if not changed:
        return near_miss(rng)
    return sorry(rng, vary(rng, text, question.language), question.language, "near_miss")
