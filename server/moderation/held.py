"""An answer that is held until it has been judged."""

from __future__ import annotations

from collections import defaultdict

from server.openai.chunks import Choice, TextChoice
from server.openai.events import Batch, TextEvent


class HeldAnswer:
    """Batches in their order, and the text of each channel of each choice, named as `answers.edit.NewEditor` does."""

    def __init__(self) -> None:
        self.batches: list[Batch] = []

    def add(self, batch: Batch) -> None:
        self.batches.append(batch)

    def texts(self) -> dict[int, dict[str, str]]:
        """By choice and channel."""
        parts: dict[tuple[int, str], list[str]] = defaultdict(list)
        for batch in self.batches:
            for event in batch:
                if isinstance(event, TextEvent):
                    parts[event.template.index, event.template.channel].append(event.plain())
                else:
                    for choice in event.chunk.choices:
                        for channel, text in (
                            _texts(choice) if isinstance(choice, Choice) else [("content", choice.text)]
                        ):
                            parts[choice.index, channel].append(text)
        texts: dict[int, dict[str, str]] = defaultdict(dict)
        for (index, channel), pieces in parts.items():
            if text := "".join(pieces):
                texts[index][channel] = text
        return texts


def _texts(choice: Choice | TextChoice) -> list[tuple[str, str]]:
    if isinstance(choice, TextChoice):
        return [("content", choice.text)]
    delta = choice.delta
    found = [("reasoning", delta.reasoning), ("content", delta.content or None), ("refusal", delta.refusal)]
    for position, call in enumerate(delta.tool_calls or ()):
        number = call.index if isinstance(call.index, int) else position
        found.append((f"tool_arguments/{number}", call.function.arguments if call.function else None))
    return [(channel, text) for channel, text in found if text]
