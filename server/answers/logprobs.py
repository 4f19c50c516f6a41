"""Log probabilities of the answer alone. vLLM lists every token it made: headers, reasoning and control tokens too."""

from __future__ import annotations

from msgspec import UNSET

from server.answers.stage import Stage
from server.call import Call
from server.openai.chat_request import ChatRequest
from server.openai.chunks import ChatLogprobs, Choice, Chunk, TokenLogprob
from server.openai.events import Batch, ChunkEvent, Event


def final_tokens(tokens: list[TokenLogprob]) -> list[TokenLogprob]:
    """The tokens after the last header, control tokens left out."""
    start = 0
    for position, token in enumerate(tokens):
        if token.token == "<|message|>":  # noqa: S105
            start = position + 1
    return [token for token in tokens[start:] if not _is_control(token.token)]


def _is_control(token: str) -> bool:
    return token.startswith("<|") and token.endswith("|>")


class LogprobsTrimmer:
    ended = False

    def __init__(self) -> None:
        self._textless: dict[int, list[TokenLogprob]] = {}  # by choice: tokens of which no text has come yet

    def feed(self, batch: Batch) -> Batch:
        return [event for event in batch if self._keep(event)]

    def _keep(self, event: Event) -> bool:
        """Trim an event's logprobs in place; False if nothing is left of it."""
        if not isinstance(event, ChunkEvent) or not isinstance(event.chunk, Chunk):
            return True
        for choice in event.chunk.choices:
            if isinstance(choice.logprobs, ChatLogprobs):
                tokens = self._of_answer(choice, choice.logprobs.content or [])
                choice.logprobs = ChatLogprobs(tokens, None) if tokens else UNSET
        return not event.chunk.choices or any(choice.has_news() for choice in event.chunk.choices)

    def _of_answer(self, choice: Choice, tokens: list[TokenLogprob]) -> list[TokenLogprob]:
        """A token beside no text is one of a header, or the beginning of a letter that takes several."""
        waiting = self._textless.setdefault(choice.index, [])
        waiting += tokens
        if not choice.delta.content:
            return []
        del self._textless[choice.index]
        return final_tokens(waiting)


def answer_logprobs(call: Call) -> Stage | None:
    """The stage, for chat completions with logprobs."""
    wanted = isinstance(call.body, ChatRequest) and bool(call.body.logprobs)
    return LogprobsTrimmer() if wanted else None
