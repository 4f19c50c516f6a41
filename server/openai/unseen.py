"""What stands for things that a tool returned and gpt-oss cannot read. Pure."""

from __future__ import annotations


def unseen(kind: str) -> str:
    """For the model, which may go on another way: a refusal would end a coding tool's session once it opened a picture.

    What a person sends is refused instead, as a person can send text.
    """
    return f"[Left out: {kind}. You can be shown text only.]"
