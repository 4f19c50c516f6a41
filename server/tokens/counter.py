"""The exact number of prompt tokens: what vLLM will report as `usage.prompt_tokens`."""

from __future__ import annotations

import asyncio
import re
from collections import defaultdict
from collections.abc import Awaitable, Callable, Generator, Iterator, Sequence
from functools import cached_property, partial
from itertools import chain
from typing import TypeVar

from server.call import Call
from server.openai.chat_request import ChatRequest, CompletionRequest
from server.openai.prompt import ChatPrompt, chat_prompt
from server.openai.shorten import fewest
from server.tokens.bound import message_bound, tool_bound, tool_json, upper_bound
from server.tokens.rendering import HarmonyMessage, harmony_messages
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

T = TypeVar("T")
Counted = tuple[int, int]  # tokens, and the characters that had to be encoded for them


class TokenCounter:
    """`count` is the engine's own. In four cases it may be more, never less: a stretch of text that cannot be encoded
    in reasonable time (`slices.py`), a function of more than `LONGEST_TOOL` bytes or one that oss-harmony cannot read,
    reserved control tokens in a raw prompt, and too many long prompts that wait to be counted, or one that waited too
    long (then it is the bound). Of embeddings and rerank it is always the bound: their models have other vocabularies.

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
        if not call.generates:
            return upper_bound(call)
        if _is_short(call):
            return self.exact(call)
        if self._waiting >= MOST_WAITING:
            return upper_bound(call)
        return self._later(call)

    async def to_drop(self, call: Call, groups: Sequence[Sequence[int]], most: int) -> int:
        """How many of `groups` of a chat's messages, from the first one on, have to go for a prompt of `most` tokens.

        Counted from the newest on, so that the work is bounded by `most` and not by the length of the chat. It may be
        one too many where a message becomes the first one that way, and more where `count` would be more.
        """
        if self._waiting < MOST_WAITING:
            self._waiting += 1
            try:
                async with asyncio.timeout(TIMEOUT_S), self._turn:
                    return await _driven(self._fitted(call, groups, most))
            except TimeoutError:
                pass
            finally:
                self._waiting -= 1
        return fewest(upper_bound(call), [message_bound(call.body.messages[at] for at in one) for one in groups], most)

    def exact(self, call: Call) -> int:
        """All at once."""
        steps = self._total(call)
        while True:
            try:
                next(steps)
            except StopIteration as end:
                return end.value

    async def _later(self, call: Call) -> int:
        self._waiting += 1
        try:
            async with asyncio.timeout(TIMEOUT_S), self._turn:
                return await _driven(self._total(call))
        except TimeoutError:
            return upper_bound(call)
        finally:
            self._waiting -= 1

    def _total(self, call: Call) -> Generator[int, None, int]:
        """`exact`, in steps that each tell how many characters they had to encode."""
        most, total = _most(call), 0
        for tokens, characters in self._counted(call):
            total += tokens
            if total > most:
                break
            yield characters
        return total

    def _counted(self, call: Call) -> Iterator[Counted]:
        body = call.body
        if isinstance(body, ChatRequest):
            return self._chat(chat_prompt(body, call.model.config))
        assert isinstance(body, CompletionRequest)  # noqa: S101
        return self._raw([body.prompt] if isinstance(body.prompt, str) else body.prompt)

    def _chat(self, prompt: ChatPrompt) -> Iterator[Counted]:
        yield from self._preamble(prompt)
        for message in harmony_messages(prompt):
            yield from self._message(message)

    def _message(self, message: HarmonyMessage) -> Iterator[Counted]:
        if message.header is not None:
            yield self._vocabulary.header(message.header), 0
        for text in message.texts:
            yield from self._text(text)

    def _fitted(self, call: Call, groups: Sequence[Sequence[int]], most: int) -> Generator[int, None, int]:
        """`to_drop`, in steps that each tell how many characters they had to encode."""
        prompt = chat_prompt(call.body, call.model.config)
        before = len(prompt.messages) - len(call.body.messages)
        group_of = {before + at: number for number, group in enumerate(groups) for at in group}
        of_group = defaultdict[int | None, list[HarmonyMessage]](list)
        for message in harmony_messages(prompt):
            of_group[group_of.get(message.source)].append(message)
        total = 0
        for tokens, characters in chain(self._preamble(prompt), *map(self._message, of_group[None])):
            total += tokens
            yield characters
        for number in reversed(range(len(groups))):
            for tokens, characters in chain(*map(self._message, of_group[number])):
                total += tokens
                if total > most:
                    return number + 1
                yield characters
        return 0 if total <= most else len(groups)

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


async def _driven(steps: Generator[int, None, T]) -> T:
    """What they come to. Between them the event loop has its turn, as often as is worth it."""
    encoded = 0
    while True:
        try:
            encoded += next(steps)
        except StopIteration as end:
            return end.value
        if encoded > SLICE // 2:
            encoded = 0
            await asyncio.sleep(0)


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
