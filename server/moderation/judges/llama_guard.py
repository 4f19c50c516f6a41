"""Llama Guard 3 and 4: a chat model whose chat template holds the hazards S1 to S14 of MLCommons.

Wire, from the model cards: chat completion of the text as the last message; the content of the answer is `safe`, or
`unsafe` and on the next line the codes, `S1,S10`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from server.moderation.judges.adapter import digest
from server.moderation.judges.categories import LLAMA_GUARD, scores
from server.moderation.judges.chat import content_of, question
from server.moderation.judges.verdicts import SAFE, MalformedAnswer, Verdict
from server.moderation.judges.windows import Windows

WINDOWS = Windows(chars=16_000, overlap=400, most=8)
MAX_TOKENS = 64  # all codes together have fewer
_ANSWER = re.compile(r"safe|unsafe(?:\s*\n(?P<codes>S\d{1,2}(?:, ?S\d{1,2})*))?")


@dataclass(frozen=True)
class LlamaGuard:
    """`ignored` are codes of which the policy wants to hear nothing: a text with no others is safe."""

    model: str
    role: Literal["user", "assistant"] = "user"
    ignored: frozenset[str] = frozenset()
    windows: Windows = WINDOWS
    path: str = "/chat/completions"
    at_root: bool = False

    @property
    def policy_hash(self) -> str:
        return digest("llama-guard", self.role, sorted(self.ignored), self.windows)

    def question(self, text: str, nonce: str) -> bytes:
        return question(self.model, text, self.role, MAX_TOKENS)

    def verdict(self, answer: bytes, text: str) -> Verdict:
        content = content_of(answer).strip()
        match = _ANSWER.fullmatch(content)
        if match is None:
            raise MalformedAnswer("not the lines of Llama Guard")
        codes = [code.strip() for code in match["codes"].split(",")] if match["codes"] else []
        if any(code not in LLAMA_GUARD for code in codes):
            raise MalformedAnswer("not the codes of Llama Guard")
        counted = [code for code in codes if code not in self.ignored]
        flagged = content != SAFE and (bool(counted) or not codes)
        found = scores((ours, 1.0) for code in counted for ours in LLAMA_GUARD[code])
        return Verdict(flagged, found, "unsafe" if flagged else SAFE, len(text), len(text))
