"""Which policies look at a call, and in which order it goes through them."""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from typing import Any, Protocol

from server.call import Call
from server.errors import UnsupportedValue
from server.moderation.chain import Chain
from server.moderation.decisions import Decision, Timings
from server.moderation.editor import RuleEditor
from server.moderation.guard import Guard
from server.moderation.inline import acting, results_of
from server.moderation.judged import Edited, JudgedAnswer, Ruling, united
from server.moderation.passage import WHOLE, Window, strictest
from server.moderation.policies import prepare
from server.moderation.ruleset import Ruleset
from server.moderation.segments import Segment, segments_of
from server.openai.chat_request import ChatRequest, InlineModeration, choices_of
from server.openai.events import Batch
from server.openai.pooling_request import EmbeddingRequest

AT_ONCE = 8192  # characters of a request: up to 4 ms
MOST_AT_ONCE = 128  # texts of a request
Failed = Callable[[Exception], None]
Told = Callable[[Call, Decision], None]
"""Hears what was decided about a call: of its request when that goes on, of its answer when the call has ended."""


def text_key(server_secret: bytes) -> bytes:
    """The key of HMACs over texts."""
    return hmac.digest(server_secret, b"portico moderation", "sha256")


class Policies(Protocol):
    """The policies that are loaded now."""

    def of(self, call: Call) -> Sequence[Ruleset]:
        """Those that look at a call, in their order. Raises `GatewayError` where one is not there."""
        ...

    def by_model(self, model: str | None, applying: Sequence[Ruleset], param: str) -> Sequence[Ruleset]:
        """Those that are meant by what a request names as model of moderation. Raises `ModelNotFound`."""
        ...


class Moderator:
    def __init__(
        self, policies: Policies, secret: bytes, told: Told, timings: Timings, *, everything: bool = False
    ) -> None:
        """With `everything` it is told as well that nothing was found."""
        self._policies = policies
        self._secret = secret
        self._told = told
        self._timings = timings
        self._everything = everything
        self._tasks: set[asyncio.Task[None]] = set()

    def check(self, call: Call) -> Check | None:
        """None for a call that no policy looks at. Raises `GatewayError` where one is not there."""
        rulesets = self._policies.of(call)
        asked = call.body.moderation if isinstance(call.body, ChatRequest) else None
        if asked is not None:
            return self._inline(call, asked, rulesets)
        if not rulesets:
            return None
        return Check(self, call, [self._guard(call, one, one) for one in rulesets])

    def _inline(self, call: Call, asked: InlineModeration, applying: Sequence[Ruleset]) -> Check:
        told = self._policies.by_model(asked.model, applying, "moderation.model")
        guards = [(self._guard(call, one.input, one.output), one.told) for one in acting(asked, applying, told)]
        check = Check(self, call, [guard for guard, _ in guards])
        check.results = partial(results_of, [guard for guard, told in guards if told], choices_of(call.body))
        return check

    def _guard(self, call: Call, request: Ruleset, answer: Ruleset) -> Guard:
        told = partial(self._told, call)
        return Guard(request, call, self._secret, told, self._timings, answer, everything=self._everything)

    def spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work, name="moderate a request")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    @property
    def busy(self) -> bool:
        """Whether a long request is being looked at."""
        return bool(self._tasks)

    async def start(self) -> None:
        """Nothing has to be begun."""

    async def stop(self) -> None:
        await asyncio.gather(*self._tasks, return_exceptions=True)


class Check:
    """One call's way through its policies: `request`, then `editor` for what is answered, and `close` at the end."""

    def __init__(self, moderator: Moderator, call: Call, guards: Sequence[Guard]) -> None:
        self._moderator = moderator
        self._call = call
        self._guards = guards
        self._over = False
        self._work: set[asyncio.Task[None]] = set()
        self.results: Callable[[], dict[str, Any]] | None = None
        """What was found, for the answer to tell; None where nobody has asked for it."""

    def request(self, go: Callable[[], None], failed: Failed) -> bool:
        """True if the request may go on now; else one of the two is called later.

        Raises `ContentFiltered`; `UnsupportedValue` for what would show text around the policies.
        """
        self._refuse_ways_around()
        segments = segments_of(self._call.body)
        self._refuse_bidi(segments)
        waits = any(one.ruleset.judges("input") or not one.ready for one in self._guards)
        if waits or len(segments) > MOST_AT_ONCE or sum(len(one.text) for one in segments) > AT_ONCE:
            self._begin(self._in_turns(segments), go, failed)
            return False
        for guard in self._guards:
            inspection = guard.inspection(segments)
            for _ in guard.steps(inspection):
                pass
            guard.decide(inspection)
            guard.requested()
        return True

    @property
    def edits(self) -> bool:
        """Whether anything is looked for in answers."""
        return any(guard.output.screens("output") for guard in self._guards)

    def editor(self, index: int, channel: str) -> RuleEditor | Chain:
        """For a channel of a choice, as `answers.edit.NewEditor`."""
        editors = [editor for guard in self._guards if (editor := guard.editor(index, channel)) is not None]
        return editors[0] if len(editors) == 1 else Chain(editors)

    def answer(self, edited: Edited, leaves: Callable[[Batch], None], failed: Failed) -> JudgedAnswer | None:
        """The way of the answer past the judges; None where there are none. Only a stream can be judged in windows."""
        paces = [pace for guard in self._guards if (pace := guard.output.pace) is not None]
        if not paces:
            return None

        def judges(index: int, window: Window, ruled: Callable[[Ruling], None]) -> None:
            rulings: list[Ruling] = []
            work = self._judged(index, window, rulings)
            self._begin(work, lambda: ruled(united(rulings)), failed)

        return JudgedAnswer(self._call, strictest(paces) if self._call.stream else WHOLE, judges, edited, leaves)

    def close(self) -> None:
        """The call has ended; what is still being looked at for it is given up."""
        self._over = True
        for one in self._work:
            one.cancel()
        for guard in self._guards:
            guard.close()

    def _begin(self, work: Coroutine[Any, Any, None], go: Callable[[], None], failed: Failed) -> None:
        task = self._moderator.spawn(self._later(work, go, failed))
        self._work.add(task)
        task.add_done_callback(self._work.discard)

    async def _later(self, work: Coroutine[Any, Any, None], go: Callable[[], None], failed: Failed) -> None:
        """Unless the call is over by then."""
        error: Exception | None = None
        try:
            await work
        except Exception as raised:
            error = raised
        self._work -= {asyncio.current_task()}  # it is done but for what it brings about: not to be given up
        if self._over:
            return
        if error is None:
            go()
        else:
            failed(error)

    async def _in_turns(self, segments: list[Segment]) -> None:
        await prepare(one for guard in self._guards for one in (guard.ruleset, guard.output))
        for guard in self._guards:
            inspection = guard.inspection(segments)
            for _ in guard.steps(inspection):
                await asyncio.sleep(0)
            guard.decide(inspection)
            await guard.judge_request(segments)
            guard.requested()

    async def _judged(self, index: int, window: Window, rulings: list[Ruling]) -> None:
        """By each policy until one refuses."""
        for guard in self._guards:
            rulings.append(await guard.judge_window(index, window))
            if rulings[-1].refused:
                return

    def _refuse_ways_around(self) -> None:
        body = self._call.body
        if isinstance(body, EmbeddingRequest) and body.of_token_ids:
            raise UnsupportedValue("This server's content policy reads text, not token ids. Send text.", param="input")
        if not any(guard.output.cuts("output") for guard in self._guards):
            return
        for name in ("logprobs", "echo"):
            asked = getattr(body, name, None)
            if not (asked is None or asked is False):  # a completion's logprobs of 0 show the tokens too
                raise UnsupportedValue(f"'{name}' is not available under this server's content policy.", param=name)

    def _refuse_bidi(self, segments: list[Segment]) -> None:
        for guard in self._guards:
            guard.check_direction(segments)
