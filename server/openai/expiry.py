"""How long a file shall be kept, as clients say it."""

from __future__ import annotations

from server.errors import InvalidValue

ANCHOR = "created_at"
SHORTEST_S, LONGEST_S = 3600, 2_592_000  # an hour, 30 days: OpenAI's bounds


def expires_s(anchor: str, seconds: int, param: str) -> int:
    """`seconds`, if they are in bounds. Raises `InvalidValue`."""
    if anchor != ANCHOR:
        raise InvalidValue(f"'{param}.anchor' must be '{ANCHOR}'.", param=f"{param}.anchor")
    if not SHORTEST_S <= seconds <= LONGEST_S:
        raise InvalidValue(
            f"'{param}.seconds' must be from {SHORTEST_S} (an hour) to {LONGEST_S} (30 days).", param=f"{param}.seconds"
        )
    return seconds
