"""What one call gets from an engine of another make, mended into what vLLM would send. Pure.

- the chain of thought under its name, also where it stands in the content (inline.py)
- function calls numbered, with ids, with arguments as text (calls.py)
- one `id` and `created` for all chunks, one `role` and one `finish_reason` for each choice
- usage at the end, and where the gateway may end the answer itself on every chunk; what the engine does not count is
  estimated, and says so: `Usage.estimated`, `Call.estimated`
"""

from __future__ import annotations

from msgspec import UNSET

from server.call import Call
from server.engines.makes import logprobs
from server.engines.makes.calls import Calls
from server.engines.makes.inline import Piece, Splitter
from server.engines.makes.lenient import Shape, decode
from server.engines.makes.make import Make
from server.openai.chunks import AnyChunk, Choice, Delta, TextChoice, ToolCallDelta, Usage
from server.openai.ending import last_chunk
from server.openai.events import Batch, ChunkEvent
from server.openai.reader import View

LETTERS_PER_TOKEN = 4


class _Choice:
    """What has been seen of one choice."""

    __slots__ = ("calls", "finished", "inline", "role")

    def __init__(self, make: Make, ids: str) -> None:
        self.inline = Splitter(make.inline)
        self.calls = Calls(ids)
        self.role = False
        self.finished = False


class MendedAnswer:
    """One for each call and try. `running`: usage is told with every chunk. `created` as in `Shape`."""

    def __init__(self, make: Make, view: View, call: Call, created: int, *, running: bool) -> None:
        self._make = make
        self._view = view
        self._call = call
        self._running = running
        self._shape = Shape(view.chat, make.thoughts, f"chatcmpl-{call.id}", created)
        self._choices: dict[int, _Choice] = {}
        self._last: AnyChunk | None = None
        self._usage: Usage | None = None  # as the engine tells it
        self._made = 0  # tokens, about

    @property
    def complete(self) -> bool:
        """Every choice has come to its end."""
        return bool(self._choices) and all(choice.finished for choice in self._choices.values())

    def event(self, payload: bytes) -> Batch:
        """Of a stream. Raises `EngineAnswerError`."""
        chunk = self._take(payload)
        for choice in chunk.choices:
            self._mend(choice)
            if isinstance(choice, Choice):
                logprobs.of_event(choice)
        return self._leave(chunk)

    def end(self) -> Batch:
        """The stream is over: what was held, ends that were not told, and the usage."""
        like = self._last
        if like is None:
            return []
        batch: Batch = []
        for index, choice in self._choices.items():
            if not choice.finished:
                rest = last_chunk(like, index, "stop", UNSET)
                if isinstance(rest, ChunkEvent):
                    for one in rest.chunk.choices:
                        self._mend(one)
                    batch += self._leave(rest.chunk)
        last = type(like)(like.id, like.object, like.created, "", [], self._counted())
        self._view.shape(last)
        return [*batch, ChunkEvent(last)]

    def whole(self, body: bytes) -> Batch:
        """An unstreamed answer. Raises `EngineAnswerError`."""
        chunk = self._take(body)
        for choice in chunk.choices:
            choice.finish_reason = choice.finish_reason or "stop"
            self._mend(choice)
            if isinstance(choice, Choice):
                logprobs.of_whole(choice)
        chunk.usage = self._counted()
        self._view.shape(chunk)
        return [ChunkEvent(chunk)]

    def _take(self, payload: bytes) -> AnyChunk:
        chunk = decode(payload, self._shape)
        if chunk.usage:
            self._usage = chunk.usage
            chunk.usage = UNSET
        if self._last is not None:  # some tell the time of each chunk
            chunk.id, chunk.created = self._last.id, self._last.created
        self._last = chunk
        return chunk

    def _leave(self, chunk: AnyChunk) -> Batch:
        """Nothing, if the client learns nothing from it."""
        if self._running:
            chunk.usage = self._counted()
        self._view.shape(chunk)
        if not any(_has_news(choice) for choice in chunk.choices):
            return []
        return [ChunkEvent(chunk)]

    def _mend(self, choice: Choice | TextChoice) -> None:
        seen = self._choices.get(choice.index)
        if seen is None:
            seen = self._choices[choice.index] = _Choice(self._make, f"{self._shape.id[9:][-12:]}_{choice.index}")
        if isinstance(choice, TextChoice):
            self._made += _tokens(choice.text)
        else:
            self._chat(choice, seen)
        if seen.finished:
            choice.finish_reason = None
        elif choice.finish_reason:
            seen.finished = True

    def _chat(self, choice: Choice, seen: _Choice) -> None:
        delta = choice.delta
        if seen.role:
            delta.role = None
        seen.role = seen.role or bool(delta.role)
        self._made += _tokens(delta.reasoning) + _tokens(delta.content or None)
        if delta.tool_calls:
            seen.calls.mend(delta.tool_calls)
            self._made += sum(_tokens(call.function.arguments) for call in delta.tool_calls if call.function)
        pieces = seen.inline.feed(delta.content) if delta.content else []
        if choice.finish_reason and not seen.finished:
            pieces += seen.inline.finish()
        if delta.content or pieces:
            _put(delta, pieces, seen.calls)
        if choice.finish_reason == "stop" and seen.calls:
            choice.finish_reason = "tool_calls"

    def _counted(self) -> Usage:
        """The engine's count; an estimate in the place of what it does not tell or has as 0."""
        told, call = self._usage, self._call
        good = told is not None and told.prompt_tokens > 0 and (told.completion_tokens or not self._made)
        if told is not None and good:
            call.estimated = False
            return told
        call.estimated = True
        prompt = (told.prompt_tokens if told else 0) or call.prompt
        completion = (told.completion_tokens if told else 0) or self._made
        return Usage(prompt, completion, estimated=True)


def _put(delta: Delta, pieces: list[Piece], calls: Calls) -> None:
    """The content in its channels."""
    delta.content = "".join(piece.text for piece in pieces if piece.channel == "content") or None
    thought = "".join(piece.text for piece in pieces if piece.channel == "reasoning")
    if thought:
        delta.reasoning = (delta.reasoning or "") + thought
    found: list[ToolCallDelta] = []
    for piece in pieces:
        if piece.channel == "name":
            found.append(calls.new(piece.text))
        elif piece.channel == "arguments":
            found.append(calls.more(piece.text))
    if found:
        delta.tool_calls = [*(delta.tool_calls or ()), *found]


def _tokens(text: str | None) -> int:
    """About: an event is a token for most, and who sends several at once sends more letters."""
    return -(-len(text) // LETTERS_PER_TOKEN) if text else 0


def _has_news(choice: Choice | TextChoice) -> bool:
    if isinstance(choice, TextChoice):
        return bool(choice.text or choice.finish_reason or choice.logprobs)
    return choice.has_news()
