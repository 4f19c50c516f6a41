"""Reads a Dockerfile as far as ours goes: stages and their instructions, continued lines, comments between them."""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Instruction:
    word: str
    rest: str


def stages(text: str) -> list[list[Instruction]]:
    """The instructions, one list per stage; what stands before the first FROM belongs to none."""
    text = re.sub(r"^#.*\n", "", text, flags=re.MULTILINE)
    lines = [line.strip() for line in re.sub(r"\\\n\s*", "", text).splitlines() if line.strip()]
    found: list[list[Instruction]] = []
    for line in lines:
        word, _, rest = line.partition(" ")
        if word == "FROM":
            found.append([])
        if found:
            found[-1].append(Instruction(word, rest.strip()))
    return found


def of(stage: list[Instruction], word: str) -> list[str]:
    return [instruction.rest for instruction in stage if instruction.word == word]


def environment(stage: list[Instruction]) -> dict[str, str]:
    """What ENV sets, as it is written: $PATH is not filled in."""
    return dict(part.split("=", 1) for env in of(stage, "ENV") for part in env.split())
