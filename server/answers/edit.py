"""The machinery of stages that change the text of an answer: an editor per choice and channel.

An editor is a pure class. The stage asks it only where it could matter: plain text passes as the bytes it came in.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Protocol

from msgspec import UNSET, UnsetType

from server.answers.names import CallNames
from server.call import Call
from server.openai.chunks import (
    ENCODER,
    AnyChunk,
    ChatLogprobs,
    Choice,
    Delta,
    FunctionDelta,
    TextChoice,
    TokenLogprob,
    ToolCallDelta,
)
from server.openai.ending import is_usage, last_chunk, usage_event
from server.openai.events import Batch, ChunkEvent, TextEvent

TOOL_ARGUMENTS, TOOL_NAME = "tool_arguments/", "tool_name/"


class Editor(Protocol):
    ended: bool
    """The choice is over: nothing more of it may leave, on any channel."""
    finish_reason: str
    """What it finishes with then."""

    def indifferent(self, escaped: bytes) -> bool:
        """Whether this text (JSON-escaped UTF-8) can pass without being looked at."""
        ...

    def feed(self, text: str) -> str:
        """What may leave now; the rest is held."""
        ...

    def finish(self) -> str:
        """What was held, at the end of the choice."""
        ...


class Passing:
    """Changes nothing."""

    ended = False
    finish_reason = ""

    def indifferent(self, escaped: bytes) -> bool:
        return True

    def feed(self, text: str) -> str:
        return text

    def finish(self) -> str:
        return ""


PASSING = Passing()
NewEditor = Callable[[int, str], Editor]
"""For a channel of a choice: `content`, `reasoning`, `refusal`; of its N-th call `tool_arguments/N` and `tool_name/N`.

A name is never changed: its editor can only end the choice.
"""


def on_content(new_editor: Callable[[], Editor]) -> NewEditor:
    """Only the content is edited."""
    return lambda index, channel: new_editor() if channel == "content" else PASSING


class EditStage:
    """Runs editors over every choice. Has ended, leaving the engine to be aborted, once every choice has.

    What an editor holds leaves before the next text of its channel, or at the end of its choice.
    """

    def __init__(
        self, call: Call, new_editor: NewEditor, choices: int, clean: Callable[[str], bool] | None = None
    ) -> None:
        """`clean`, for editors of content alone, tells of the content of a whole answer that it passes as it is."""
        self._call = call
        self._new_editor = new_editor
        self._choices = choices
        self._clean = clean
        self._editors: dict[tuple[int, str], Editor] = {}
        self._names: dict[int, CallNames] = {}  # by choice
        self._over: dict[int, str] = {}  # by choice: what it finished with
        self._logprobs: dict[int, LogprobsHold] = {}
        self._like: AnyChunk | None = None  # the latest chunk: what chunks of our own are made after
        self.ended = False

    def feed(self, batch: Batch) -> Batch:
        for event in batch:
            if not isinstance(event, TextEvent):
                return self._edited(batch)
            template = event.template
            editor = self._editors.get((template.index, template.channel))
            if editor is None or not editor.indifferent(event.text):
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
            if self._like is not None and self._call.tokens is not None and not any(map(is_usage, out)):
                out.append(usage_event(self._call.tokens, self._like, estimated=self._call.estimated))
        return out

    def _text(self, event: TextEvent, out: Batch) -> None:
        index, channel = event.template.index, event.template.channel
        if index in self._over:
            return
        editor = self._editor(index, channel)
        if editor.indifferent(event.text):
            out.append(event)
            return
        plain = event.plain()
        text = editor.feed(plain)
        if text == plain:
            out.append(event)
        elif text:
            out.append(TextEvent(event.template, ENCODER.encode(text)[1:-1]))
        if editor.ended:
            self._over[index] = editor.finish_reason
            if self._like is not None:
                usage = None if self._call.include_usage else UNSET
                out.append(last_chunk(self._like, index, editor.finish_reason, usage))

    def _chunk(self, event: ChunkEvent, out: Batch) -> None:
        chunk = self._like = event.chunk
        alive = [choice for choice in chunk.choices if choice.index not in self._over and self._choice(choice)]
        if alive or not chunk.choices:
            chunk.choices = alive  # type: ignore[assignment] # of the kind that they were
            out.append(event)

    def _choice(self, choice: Choice | TextChoice) -> bool:
        """Edit one; whether there is anything left of it to send."""
        last = choice.finish_reason is not None
        if isinstance(choice, TextChoice):
            came = choice.text
            choice.text = self._edit(choice.index, "content", came, last=last)
            alive = bool(choice.text or last or not came)
        else:
            if last and self._clean is not None and self._is_clean(choice, self._clean):
                return True
            came = choice.delta.content or ""
            self._delta(choice.index, choice.delta, last=last)
            self._follow(choice, came)
            alive = not came or not _is_empty(choice)
        if choice.index in self._over:
            choice.finish_reason = self._over[choice.index]
            return True
        return alive

    def _is_clean(self, choice: Choice, clean: Callable[[str], bool]) -> bool:
        content = choice.delta.content
        return (choice.index, "content") not in self._editors and (not isinstance(content, str) or clean(content))

    def _delta(self, index: int, delta: Delta, *, last: bool) -> None:
        """All its channels, in the order in which a model writes them."""
        if delta.reasoning or last:
            text = self._edit(index, "reasoning", delta.reasoning or "", last=last)
            delta.reasoning = delta.reasoning_content = text or None
        if isinstance(delta.content, str) or last:
            text = self._edit(index, "content", delta.content or "", last=last)
            if text or isinstance(delta.content, str):
                delta.content = text
        if delta.refusal or last:
            delta.refusal = self._edit(index, "refusal", delta.refusal or "", last=last) or None
        self._calls(index, delta, last=last)

    def _calls(self, index: int, delta: Delta, *, last: bool) -> None:
        if not (delta.tool_calls or last):
            return
        names = self._names.get(index)
        if names is None:
            names = self._names[index] = CallNames(partial(_of_name, self._new_editor, index))
        sent: list[ToolCallDelta] = []
        for position, call in enumerate(delta.tool_calls or ()):
            number = _number(call, position)
            for one in names.take(number, call):
                if one.function is not None and one.function.arguments is not None:
                    channel = f"{TOOL_ARGUMENTS}{number}"
                    one.function.arguments = self._edit(index, channel, one.function.arguments, last=False)
                sent.append(one)
        if last:
            sent += names.close()
        if names.over is not None and index not in self._over:
            self._over[index] = names.over
        delta.tool_calls = sent or None
        if index in self._over:
            delta.tool_calls = None
        elif last:
            self._held_arguments(index, delta)

    def _held_arguments(self, index: int, delta: Delta) -> None:
        """What the editors of a choice's calls still hold goes out with its last chunk."""
        for (choice, channel), editor in self._editors.items():
            if choice != index or not channel.startswith(TOOL_ARGUMENTS):
                continue
            held = editor.finish()
            if editor.ended:
                self._over[index] = editor.finish_reason
                delta.tool_calls = None
                return
            if held:
                _add_arguments(delta, int(channel.removeprefix(TOOL_ARGUMENTS)), held)

    def _edit(self, index: int, channel: str, text: str, *, last: bool) -> str:
        """What may leave of `text`; with the `last` of its channel also what was held."""
        if index in self._over or not (text or (index, channel) in self._editors):
            return ""
        editor = self._editor(index, channel)
        out = editor.feed(text) if text else ""
        if last and not editor.ended:
            out += editor.finish()
        if editor.ended:
            self._over[index] = editor.finish_reason
        return out

    def _editor(self, index: int, channel: str) -> Editor:
        editor = self._editors.get((index, channel))
        if editor is None:
            editor = self._editors[index, channel] = self._new_editor(index, channel)
        return editor

    def _follow(self, choice: Choice, came: str) -> None:
        if choice.logprobs or choice.index in self._logprobs:
            hold = self._logprobs.setdefault(choice.index, LogprobsHold())
            choice.logprobs = hold.feed(choice.logprobs or None, len(came) - len(choice.delta.content or ""))


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


def _add_arguments(delta: Delta, number: int, text: str) -> None:
    calls = delta.tool_calls = delta.tool_calls or []
    for position, call in enumerate(calls):
        if call.function is not None and _number(call, position) == number:
            call.function.arguments = (call.function.arguments or "") + text
            return
    calls.append(ToolCallDelta(number, function=FunctionDelta(arguments=text)))


def _of_name(new_editor: NewEditor, index: int, number: int) -> Editor:
    return new_editor(index, f"{TOOL_NAME}{number}")


def _number(call: ToolCallDelta, position: int) -> int:
    """Which call of its choice it is a part of."""
    return call.index if isinstance(call.index, int) else position


def _is_empty(choice: Choice) -> bool:
    delta = choice.delta
    return not (
        delta.content or delta.role or delta.reasoning or delta.tool_calls or choice.finish_reason or choice.logprobs
    )
