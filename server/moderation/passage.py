"""How much of a choice may leave before its judges have spoken. Pure; what leaves are items, as they came and in order.

The text of a choice is cut into windows, which are judged one after the other:

- `full`: one window, all of the choice. Nothing leaves before its verdict.
- `chunked`: windows of `window` characters, of which the first `overlap` are the last ones of the window before on the
  same channel. What is new in a window leaves with its verdict. So the head of a violation that straddles two windows
  may have left when the second one shows the whole of it; one that is longer than the overlap may never be seen whole.
- `async`: the same windows, and text leaves ahead of its verdict, at most `lead` characters of it.

Reasoning never leaves ahead of its verdict and is never cut: where the choice goes on to something else, all of its
reasoning until there is judged. The end of a choice waits for all its verdicts. A window ends with an item, so it may
be longer than said by one item less a character.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from math import inf
from typing import Generic, NamedTuple, TypeVar

from server.moderation.policy import Streaming

T = TypeVar("T")
JOINT = "\n\n"  # between the texts that a judge is shown as one
MOST_WINDOWS = 2  # of a choice, before its engine has to wait: one with the judges, and one behind it
LEAD_WINDOWS = 2  # of text that may leave unjudged
REASONING = "reasoning"


class Pace(NamedTuple):
    """How judges see an answer, in characters. An endless `window` is all of a choice."""

    window: float
    overlap: int = 0
    lead: int = 0


WHOLE = Pace(inf)


def pace_of(streaming: Streaming) -> Pace:
    """Of what a policy says."""
    if streaming.mode == "full":
        return WHOLE
    lead = LEAD_WINDOWS * streaming.window_chars if streaming.mode == "async" else 0
    return Pace(streaming.window_chars, streaming.overlap_chars, lead)


def strictest(paces: Iterable[Pace]) -> Pace:
    """Of at least one: the largest window and overlap, and text leaves ahead only where all let it.

    That lead is the longest one: with a shorter one the largest window might never fill.
    """
    windows, overlaps, leads = zip(*paces, strict=True)
    return WHOLE if inf in windows else Pace(max(windows), max(overlaps), max(leads) if all(leads) else 0)


class Window(NamedTuple):
    """What is judged at once, by channel."""

    parts: Mapping[str, str]
    start: int
    """Characters of the choice that came before it."""

    @property
    def text(self) -> str:
        return JOINT.join(self.parts.values())


class _Waiting(NamedTuple, Generic[T]):
    item: T
    upto: int  # characters of the choice with it
    ahead: bool  # it may leave ahead of its verdict


class _Closed(NamedTuple):
    window: Window
    upto: int


class Passage(Generic[T]):
    """One choice. `add` what comes and `close` at its end; `question` and then `passed`; `released` at any time."""

    def __init__(self, pace: Pace) -> None:
        self._pace = pace
        self._queue: deque[_Waiting[T]] = deque()
        self._windows: deque[_Closed] = deque()  # closed, and without a verdict
        self._asked = False  # about the first of them
        self._fresh: dict[str, list[str]] = {}  # by channel, what is in no window
        self._before: dict[str, str] = {}  # by channel, what the next window begins with
        self._size = 0  # of the next window
        self._in_reasoning = False
        self._came = self._judged = 0
        self._begun = pace.lead > 0  # a status may be committed

    def add(self, item: T, texts: Iterable[tuple[str, str]], *, last: bool) -> None:
        """An item with its texts by channel, in the order in which they are read. `last`: it ends the choice."""
        ahead = not last
        for channel, text in texts:
            reasoning = channel == REASONING
            if self._fresh and reasoning is not self._in_reasoning and self._pace.window < inf:
                self.close()
            self._in_reasoning = reasoning
            self._take(channel, text)
            ahead = ahead and not reasoning
        self._queue.append(_Waiting(item, self._came, ahead))
        if last or (not self._in_reasoning and self._size >= self._pace.window):
            self.close()

    def close(self) -> None:
        """The window that is open is complete."""
        if self._fresh:
            parts = {channel: self._before.get(channel, "") + "".join(one) for channel, one in self._fresh.items()}
            self._windows.append(_Closed(Window(parts, self._came - self._size), self._came))
            for channel, text in parts.items():
                self._before[channel] = text if channel == REASONING else text[max(0, len(text) - self._pace.overlap) :]
            self._fresh, self._size = {}, 0
        elif not self._windows:
            self._begun = True  # there is nothing to be judged

    def question(self) -> Window | None:
        """What is to be judged now. None where nothing is, or the verdict before is not there yet."""
        if self._asked or not self._windows:
            return None
        self._asked = True
        return self._windows[0].window

    def passed(self) -> None:
        """The window that was asked about may leave."""
        self._judged = self._windows.popleft().upto
        self._asked, self._begun = False, True

    def released(self) -> list[T]:
        """What leaves now."""
        out: list[T] = []
        while self._queue and self._begun:
            first = self._queue[0]
            if first.upto - self._judged > (self._pace.lead if first.ahead else 0):
                break
            out.append(self._queue.popleft().item)
        return out

    def opening(self) -> list[T]:
        """What came before any text and has not left: the choice begins with it even if all else is refused."""
        return [one.item for one in self._queue if not one.upto]

    @property
    def over(self) -> bool:
        """Nothing waits, neither to leave nor for a verdict."""
        return not (self._queue or self._windows or self._fresh)

    @property
    def crowded(self) -> bool:
        """More waits for verdicts than should: let no more come."""
        return len(self._windows) > MOST_WINDOWS

    def _take(self, channel: str, text: str) -> None:
        if channel not in self._fresh:
            self._fresh[channel] = []
            self._size += len(self._before.get(channel, ""))
        self._fresh[channel].append(text)
        self._size += len(text)
        self._came += len(text)
