"""The exact number of prompt tokens: what vLLM will report as `usage.prompt_tokens`."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Iterator
from functools import cached_property, partial

from server.call import Call
from server.openai.chat_request import ChatRequest, CompletionRequest
from server.openai.prompt import ChatPrompt, chat_prompt
from server.tokens.bound import tool_bound, tool_json, upper_bound
from server.tokens.rendering import harmony_messages
from server.tokens.slices import slices
from server.tokens.vocabulary import Vocabulary

AT_ONCE = 8192  # bytes of a request: about 1 ms
TOOLS_AT_ONCE = 8
TOOL = 1024  # characters that are encoded in the time in which a tool is made ready: about 0.1 ms
SLICE = 4096  # characters: about 0.5 ms
LONGEST_TOOL = 16_384  # bytes of JSON, about 3 ms; longer ones are counted by their bound
MOST_WAITING = 64  # long prompts to be counted
TIMEOUT_S = 5.0

_CONTROL = re.compile(r"<\|(?:startoftext|endoftext|return|constrain|channel|start|end|message|call)\|>")
"""In a raw prompt these are one token each. The reserved ones are too in some engines; they are counted as text, which
is more."""

Counted = tuple[int, int]  # tokens, and the characters that had to be encoded for them


class TokenCounter:
    """`count` is the engine's own. In four cases it may be more, never less: a stretch of text that cannot be encoded
    in reasonable time (`slices.py`), a function of more than `LONGEST_TOOL` bytes or one that oss-harmony cannot read,
    reserved control tokens in a raw prompt, and too many long prompts that wait to be counted, or one that waited too
    long (then it is the bound).

    Counting ends where a prompt is longer than the model's context: no engine takes it, whatever its exact length.
    """

    upper_bound = staticmethod(upper_bound)

    @cached_property
    def _vocabulary(self) -> Vocabulary:
        return Vocabulary()

    def __init__(self) -> None:
        self._waiting = 0
        self._turn = asyncio.Lock()  # one long prompt at a time, so that the loop waits for one slice and not for many

    def prepare(self) -> None:
        """Load the vocabulary, where limits of tokens are sure to be asked for. Blocks for 0.2 s."""
        self._vocabulary  # noqa: B018  # pyright: ignore[reportUnusedExpression]

    def count(self, call: Call) -> int | Awaitable[int]:
        """A short prompt at once, a long one later: its slices take turns with the event loop."""
        if _is_short(call):
            return self.exact(call)
        if self._waiting >= MOST_WAITING:
            return upper_bound(call)
        return self._later(call)

    def exact(self, call: Call) -> int:
        """All at once."""
        most = _most(call)
        total = 0
        for tokens, _ in self._counted(call):
            total += tokens
            if total > most:
                break
        return total

    async def _later(self, call: Call) -> int:
        self._waiting += 1
        try:
            async with asyncio.timeout(TIMEOUT_S), self._turn:
                return await self._in_turns(call)
        except TimeoutError:
            return upper_bound(call)
        finally:
            self._waiting -= 1

    async def _in_turns(self, call: Call) -> int:
        most = _most(call)
        total = encoded = 0
        for tokens, characters in self._counted(call):
            total += tokens
            encoded += characters
            if total > most:
                break
            if encoded > SLICE // 2:
                encoded = 0
                await asyncio.sleep(0)
        return total

    def _counted(self, call: Call) -> Iterator[Counted]:
        body = call.body
        if isinstance(body, ChatRequest):
            return self._chat(chat_prompt(body, call.model.config))
        assert isinstance(body, CompletionRequest)  # noqa: S101
        return self._raw([body.prompt] if isinstance(body.prompt, str) else body.prompt)

    def _chat(self, prompt: ChatPrompt) -> Iterator[Counted]:
        yield from self._preamble(prompt)
        for header, texts in harmony_messages(prompt):
            if header is not None:
                yield self._vocabulary.header(header), 0
            for text in texts:
                yield from self._text(text)

    def _preamble(self, prompt: ChatPrompt) -> Iterator[Counted]:
        effort, words = prompt.effort, self._vocabulary
        if not prompt.tools:
            yield words.preamble(effort, None), 0
            return
        first, *further = [tool_json(tool.function) for tool in prompt.tools]
        tokens = _rendered(partial(words.preamble, effort), first)
        yield words.other_tool(effort) + tool_bound(first) if tokens is None else tokens, len(first) + TOOL
        for tool in further:
            tokens = _rendered(words.further_tool, tool)
            yield tool_bound(tool) if tokens is None else tokens, len(tool) + TOOL

    def _raw(self, prompts: list[str]) -> Iterator[Counted]:
        """A prompt is counted once, however many answers are asked for."""
        for prompt in prompts:
            at = 0
            for control in _CONTROL.finditer(prompt):
                yield from self._text(prompt[at : control.start()])
                yield 1, 0
                at = control.end()
            yield from self._text(prompt[at:])

    def _text(self, text: str) -> Iterator[Counted]:
        for part, encodable in slices(text, SLICE):
            yield (self._vocabulary.text(part), len(part)) if encodable else (len(part.encode()), len(part) // 16)


def _is_short(call: Call) -> bool:
    size = call.size + len(call.model.config.developer_prompt or "")
    tools = call.body.tools if isinstance(call.body, ChatRequest) else None
    return size <= AT_ONCE and len(tools or ()) <= TOOLS_AT_ONCE


def _rendered(count: Callable[[bytes], int], tool: bytes) -> int | None:
    """None where that would take too long, or where oss-harmony cannot read it (and nor can the engine)."""
    if len(tool) > LONGEST_TOOL or not all(one.encodable for one in slices(tool.decode(), LONGEST_TOOL)):
        return None
    try:
        return count(tool)
    except (ValueError, RecursionError):  # nested too deep, numbers too large
        return None


def _most(call: Call) -> int:
    """Tokens of a prompt that the model's context could just hold, or of so many prompts."""
    prompts = len(call.body.prompt) if isinstance(getattr(call.body, "prompt", None), list) else 1
    return call.model.config.context_length * prompts
