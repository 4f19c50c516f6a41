"""The machinery of stages that change the text of an answer: one editor per choice, on the content channel.

An editor is a pure class. The stage asks it only where it could matter: plain text passes as the bytes it came in.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from msgspec import UNSET, UnsetType

from server.call import Call, Tokens
from server.openai.chunks import (
    ENCODER,
    ChatLogprobs,
    Choice,
    Chunk,
    CompletionDetails,
    PromptDetails,
    TokenLogprob,
    Usage,
)
from server.openai.events import Batch, ChunkEvent, Event, TextEvent


class Editor(Protocol):
    ended: bool
    """The choice is over: nothing more of it may leave, and it finishes with `stop`."""

    def indifferent(self, escaped: bytes) -> bool:
        """Whether this text (JSON-escaped UTF-8) can pass without being looked at."""
        ...

    def feed(self, text: str) -> str:
        """What may leave now; the rest is held."""
        ...

    def finish(self) -> str:
        """What was held, at the end of the choice."""
        ...


class EditStage:
    """Runs an editor over every choice. Has ended, leaving the engine to be aborted, once every choice has."""

    def __init__(
        self,
        call: Call,
        new_editor: Callable[[], Editor],
        choices: int,
        clean: Callable[[str], bool] = lambda text: False,
    ) -> None:
        """`clean` tells of the text of a whole answer that no editor would change it."""
        self._call = call
        self._new_editor = new_editor
        self._choices = choices
        self._clean = clean
        self._editors: dict[int, Editor] = {}
        self._over: set[int] = set()
        self._logprobs: dict[int, LogprobsHold] = {}
        self._like: Chunk | None = None  # the latest chunk: what chunks of our own are made after
        self.ended = False

    def feed(self, batch: Batch) -> Batch:
        for event in batch:
            if not isinstance(event, TextEvent):
                return self._edited(batch)
            template = event.template
            editor = self._editors.get(template.index)
            if editor is None or not (template.channel != "content" or editor.indifferent(event.text)):
                return self._edited(batch)
        return self._edited(batch) if self._over else batch

    def _edited(self, batch: Batch) -> Batch:
        out: Batch = []
        for event in batch:
            if isinstance(event, TextEvent):
                self._text(event, out)
            else:
                self._chunk(event, out)
        if len(self._over) >= self._choices and not self.ended:
            self.ended = True
            if self._like is not None and self._call.tokens is not None and not any(map(_is_usage, out)):
                out.append(_usage_event(self._call.tokens, self._like))
        return out

    def _editor(self, index: int) -> Editor:
        editor = self._editors.get(index)
        if editor is None:
            editor = self._editors[index] = self._new_editor()
        return editor

    def _text(self, event: TextEvent, out: Batch) -> None:
        index = event.template.index
        if index in self._over:
            return
        editor = self._editor(index)
        if event.template.channel != "content" or editor.indifferent(event.text):
            out.append(event)
            return
        text = editor.feed(event.plain())
        if text:
            out.append(TextEvent(event.template, ENCODER.encode(text)[1:-1]))
        if editor.ended:
            self._end(index, out)

    def _chunk(self, event: ChunkEvent, out: Batch) -> None:
        chunk = event.chunk
        if not isinstance(chunk, Chunk):
            out.append(event)
            return
        self._like = chunk
        over: list[int] = []
        alive: list[Choice] = []
        for choice in chunk.choices:
            if choice.index in self._over:
                continue
            if choice.finish_reason is not None and choice.index not in self._editors:
                content = choice.delta.content
                if not isinstance(content, str) or self._clean(content):
                    alive.append(choice)
                    continue
            editor = self._editor(choice.index)
            came = choice.delta.content or ""
            text = editor.feed(came) if isinstance(choice.delta.content, str) else ""
            if choice.finish_reason is not None and not editor.ended:
                text += editor.finish()
            if text or isinstance(choice.delta.content, str):
                choice.delta.content = text
            if choice.logprobs or choice.index in self._logprobs:
                hold = self._logprobs.setdefault(choice.index, LogprobsHold())
                choice.logprobs = hold.feed(choice.logprobs or None, len(came) - len(text))
            if editor.ended:
                choice.finish_reason = "stop"
                over.append(choice.index)
            if not (came and _is_empty(choice)):
                alive.append(choice)
        if alive or not chunk.choices:
            chunk.choices = alive
            out.append(event)
        self._over.update(over)

    def _end(self, index: int, out: Batch) -> None:
        """Finish a choice that ended within a text event: send its last chunk in the engine's stead."""
        self._over.add(index)
        if self._like is not None:
            usage = None if self._call.include_usage else UNSET
            out.append(ChunkEvent(_last_chunk(self._like, index, usage)))


class LogprobsHold:
    """Log probabilities of one choice leave with the text of their tokens, or not at all."""

    def __init__(self) -> None:
        self._tokens: list[TokenLogprob] = []
        self._behind = 0  # letters that the editor holds, or has cut

    def feed(self, logprobs: ChatLogprobs | None, behind: int) -> ChatLogprobs | UnsetType:
        """What leaves now. `behind` is by how many letters less of the text left than came."""
        self._behind += behind
        tokens = self._tokens
        tokens += (logprobs and logprobs.content) or ()
        size, held = len(tokens), 0
        while size and 0 < held + len(tokens[size - 1].token) <= self._behind:
            size -= 1
            held += len(tokens[size].token)
        self._tokens = tokens[size:]
        return ChatLogprobs(tokens[:size], None) if size else UNSET


def _is_usage(event: Event) -> bool:
    return isinstance(event, ChunkEvent) and bool(event.chunk.usage) and not event.chunk.choices


def _is_empty(choice: Choice) -> bool:
    delta = choice.delta
    return not (
        delta.content or delta.role or delta.reasoning or delta.tool_calls or choice.finish_reason or choice.logprobs
    )


def _last_chunk(like: Chunk, index: int, usage: UnsetType | None) -> Chunk:
    return Chunk(like.id, like.object, like.created, like.model, [Choice(index, finish_reason="stop")], usage)


def _usage_event(tokens: Tokens, like: Chunk) -> Event:
    usage = Usage(
        tokens.prompt,
        tokens.completion,
        prompt_tokens_details=PromptDetails(tokens.cached),
        completion_tokens_details=CompletionDetails(tokens.reasoning),
    )
    return ChunkEvent(Chunk(like.id, like.object, like.created, like.model, [], usage))
