"""What the doctor says of one thing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Level = Literal["ok", "warn", "fail"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """`check` is a word for programs; `text` and `way_out` are for people, one line, without secrets."""

    level: Level
    check: str
    text: str
    way_out: str = ""

    @property
    def line(self) -> str:
        label = "FAIL" if self.level == "fail" else self.level
        return f"{label:<4}  {self.text}{f'; {self.way_out}' if self.way_out else ''}"


def ok(check: str, text: str) -> Verdict:
    return Verdict("ok", check, text)


def warn(check: str, text: str, way_out: str) -> Verdict:
    return Verdict("warn", check, text, way_out)


def fail(check: str, text: str, way_out: str = "") -> Verdict:
    """`way_out` may be part of the text, where that comes from elsewhere."""
    return Verdict("fail", check, text, way_out)
