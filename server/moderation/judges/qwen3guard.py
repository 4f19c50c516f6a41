"""Qwen3Guard-Gen (0.6B, 4B, 8B): a chat model whose chat template holds the policy.

Wire, from the model card: chat completion of the text as the last message; the content of the answer is

    Safety: Safe|Unsafe|Controversial
    Categories: Violent, Jailbreak          (or None)
    Refusal: Yes|No                         (where an assistant's message was judged)

Controversial is what some would call unsafe and others not. `strict` flags it; which is right moves F1 by twelve points
between test sets, so it is a setting.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from server.moderation.judges.adapter import digest
from server.moderation.judges.categories import QWEN3GUARD, scores
from server.moderation.judges.chat import content_of, question
from server.moderation.judges.verdicts import SAFE, MalformedAnswer, Verdict
from server.moderation.judges.windows import Windows

WINDOWS = Windows(chars=16_000, overlap=400, most=8)
MAX_TOKENS = 128  # all categories together have fewer
CONTROVERSIAL = "controversial"
_SCORES = {SAFE: 0.0, CONTROVERSIAL: 0.5, "unsafe": 1.0}
_ANSWER = re.compile(
    r"Safety: (?P<safety>Safe|Unsafe|Controversial)\nCategories: (?P<categories>[^\n]+)(?:\nRefusal: (?:Yes|No))?"
)


@dataclass(frozen=True)
class Qwen3Guard:
    """`role` says who wrote the texts. A user's text is judged as a prompt, an assistant's as an answer to it."""

    model: str
    role: Literal["user", "assistant"] = "user"
    strict: bool = True
    windows: Windows = WINDOWS
    path: str = "/chat/completions"
    at_root: bool = False

    @property
    def policy_hash(self) -> str:
        return digest("qwen3guard", self.role, self.strict, self.windows)

    def question(self, text: str, nonce: str) -> bytes:
        return question(self.model, text, self.role, MAX_TOKENS)

    def verdict(self, answer: bytes, text: str) -> Verdict:
        match = _ANSWER.fullmatch(content_of(answer).strip())
        if match is None:
            raise MalformedAnswer("not the lines of Qwen3Guard")
        safety = match["safety"].lower()
        names = [] if match["categories"] == "None" else match["categories"].split(", ")
        if any(name not in QWEN3GUARD for name in names) or (names and safety == SAFE):
            raise MalformedAnswer("not the categories of Qwen3Guard")
        found = scores((ours, _SCORES[safety]) for name in names for ours in QWEN3GUARD[name])
        flagged = safety == "unsafe" or (safety == CONTROVERSIAL and self.strict)
        return Verdict(flagged, found, safety, len(text), len(text))
