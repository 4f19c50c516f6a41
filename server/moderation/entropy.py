"""Whether a candidate holds a secret: the part of it that is the secret, how random that is, and known exceptions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from math import log2

from server.moderation.expressions import Expression, utf8


def shannon(text: str) -> float:
    """Bits per character, by how often each character stands in the text; 0 for the empty one."""
    size = len(text)
    return -sum(count / size * log2(count / size) for count in Counter(text).values())


@dataclass(frozen=True, slots=True)
class Exceptions:
    """What is no secret, as gitleaks' allowlists say it: words within, in any case, or expressions found within."""

    words: tuple[str, ...] = ()
    expressions: tuple[Expression, ...] = ()
    whole: bool = False  # asked of the whole match, not of the secret
    every: bool = False  # words and expressions must both be found

    def allow(self, match: str, secret: str) -> bool:
        asked = match if self.whole else secret
        answers: list[bool] = []
        if self.words:
            lowered = secret.lower()
            answers.append(any(word in lowered for word in self.words))
        if self.expressions:
            data = utf8(asked)
            answers.append(any(one.search(data) is not None for one in self.expressions))
        return bool(answers) and (all(answers) if self.every else any(answers))


class Secret:
    """A validator: the secret is a group of the expression, the first that is not empty if `group` is 0."""

    def __init__(
        self, source: str, *, group: int = 0, entropy: float = 0, exceptions: Sequence[Exceptions] = ()
    ) -> None:
        self._expression = Expression(source, captures=True)
        self.groups = self._expression.captures
        self._group = group
        self._entropy = entropy
        self._exceptions = tuple(exceptions)

    def __call__(self, text: str) -> bool:
        secret = self._secret(text)
        if self._entropy and shannon(secret) <= self._entropy:
            return False
        return not any(one.allow(text, secret) for one in self._exceptions)

    def _secret(self, text: str) -> str:
        """The whole text if it matches only with what stands around it, which is not known here."""
        groups = self._expression.groups(utf8(text)) or ()
        if self._group:
            return groups[self._group - 1] or "" if groups else text
        return next((one for one in groups if one), text)
