"""Ordinary prose has none of these literals, and each literal is found where it is."""

from __future__ import annotations

import pytest

from server.moderation.literals import Literals
from tests.moderation import innocent

NAMES = innocent.literals()
MATCHER = Literals(NAMES)
SENTENCES = innocent.sentences(innocent.ENGLISH) + innocent.sentences(innocent.CHINESE)


def test_there_are_enough_of_both() -> None:
    assert len(SENTENCES) >= 90
    assert len(set(NAMES)) >= 200


@pytest.mark.parametrize("sentence", SENTENCES)
def test_innocent(sentence: str) -> None:
    assert [(sentence[one.start : one.end], NAMES[one.pattern]) for one in MATCHER.scan(sentence)] == []


@pytest.mark.parametrize("number", range(len(NAMES)), ids=NAMES)
def test_guilty(number: int) -> None:
    text = f"so, {NAMES[number]}, he said"
    assert (4, 4 + len(NAMES[number]), number) in MATCHER.scan(text)


def test_prose_together() -> None:
    """One text of them all, line by line and in one line: sentences do not make words across their borders."""
    for joint in ("\n", "\n\n"):
        assert MATCHER.scan(joint.join(SENTENCES)) == []
