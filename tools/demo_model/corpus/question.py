"""One question with a fixed answer, in one language."""

from dataclasses import dataclass

from .kinds import Language


@dataclass(frozen=True)
class Question:
    """`keys` are the words that make the question: with another word in their place the answer is not known."""

    name: str
    topic: str
    language: Language
    phrasings: tuple[str, ...]
    answer: str
    keys: tuple[str, ...] = ()
    weight: float = 1.0
