"""Pieces of the pages of docs/, so that tests run what users copy."""

from __future__ import annotations

import re
from pathlib import Path

DOCS = Path(__file__).parents[1] / "docs"
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def snippet(page: str, language: str, words: str) -> str:
    """The one block of that language that has these words in it."""
    blocks = FENCE.findall((DOCS / page).read_text(encoding="utf-8"))
    (found,) = [text for kind, text in blocks if kind == language and words in text]
    return found
