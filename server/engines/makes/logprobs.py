"""Log probabilities of the answer alone, where a make lists those of its thoughts too. Pure.

vLLM's have the headers of gpt-oss's format among them, by which `answers/logprobs.py` finds the answer. Others leave
those out: of a stream, what comes with a thought is the thought's; of a whole answer, what spells the content is its.
"""

from __future__ import annotations

from msgspec import UNSET

from server.openai.chunks import ChatLogprobs, Choice, TokenLogprob


def of_event(choice: Choice) -> None:
    """Drops those of a delta that holds reasoning or a call, in place."""
    if choice.delta.reasoning or choice.delta.tool_calls:
        choice.logprobs = UNSET


def of_whole(choice: Choice) -> None:
    """Keeps the last tokens that together are the content, in place; none if there are no such."""
    if not isinstance(choice.logprobs, ChatLogprobs):
        return
    tokens = [one for one in choice.logprobs.content or () if not (one.token[:2] == "<|" and one.token[-2:] == "|>")]
    content = (choice.delta.content or "").encode()
    size, start = 0, len(tokens)
    while start and size < len(content):
        start -= 1
        size += len(_bytes(tokens[start]))
    spelled = b"".join(map(_bytes, tokens[start:]))
    choice.logprobs = ChatLogprobs(tokens[start:]) if content and spelled == content else UNSET


def _bytes(token: TokenLogprob) -> bytes:
    """A letter may be spread over several tokens, which then have bytes but no text of their own."""
    known = token.bytes and all(0 <= one < 256 for one in token.bytes)
    return bytes(token.bytes or ()) if known else token.token.encode()
