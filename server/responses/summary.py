"""What is told of a model's reasoning as its summary: an excerpt, word for word. Pure."""

from __future__ import annotations

SHORT = 300
"""Letters of a summary that is not `detailed`."""


def excerpt(reasoning: str, wanted: str | None) -> str | None:
    """All of it where `detailed` is wanted; else its beginning, to the end of a sentence or at least of a word."""
    text = reasoning.strip()
    if wanted is None or not text:
        return None
    if wanted == "detailed" or len(text) <= SHORT:
        return text
    cut = text[:SHORT]
    end = max(cut.rfind(mark) for mark in (". ", "! ", "? ", ".\n", "。", "\n"))
    if end > 0:
        return cut[: end + 1].strip()
    return f"{cut[: max(cut.rfind(' '), 0) or SHORT].rstrip()}…"
