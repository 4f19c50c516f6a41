"""When to leave an engine alone that fails again and again. Pure: `now` is passed in, in seconds of any steady clock.

    closed       everything is asked; `failures` in a row open it
    open         nothing is asked for `pause_s`
    half-open    then one question is, the probe; its success closes, its failure opens again

Who asks holds a ticket. A ticket of an earlier state has no say: a question from before the outage that only now times
out must not open what a probe has closed.
"""

from __future__ import annotations

from typing import Literal

State = Literal["closed", "half_open", "open"]


class Breaker:
    def __init__(self, failures: int, pause_s: float) -> None:
        self._limit = failures
        self._pause_s = pause_s
        self._failures = 0  # in a row
        self._until: float | None = None  # None: closed
        self._probing = False
        self._state: int = 0  # number of the state: what tickets are

    @property
    def closed(self) -> bool:
        return self._until is None

    def state(self, now: float) -> State:
        if self._until is None:
            return "closed"
        return "half_open" if self._probing or now >= self._until else "open"

    def admits(self, now: float) -> bool:
        """Whether `enter` would give a ticket."""
        return self._until is None or (now >= self._until and not self._probing)

    def enter(self, now: float) -> int | None:
        """A ticket, which must be given back to `leave`; None if nothing is to be asked now."""
        if not self.admits(now):
            return None
        if self._until is not None:
            self._probing = True
            self._state += 1
        return self._state

    def leave(self, ticket: int, well: bool | None, now: float) -> None:
        """How it went; None if that says nothing, as when whoever asked has left."""
        if ticket != self._state:
            return
        if well:
            self._failures = 0
            self._close()
        elif well is None:
            if self._probing:  # the next one is the probe
                self._probing = False
                self._state += 1
        else:
            self._failures += 1
            if self._probing or self._failures >= self._limit:
                self._open(now)

    def _close(self) -> None:
        if self._until is not None:
            self._until = None
            self._probing = False
            self._state += 1

    def _open(self, now: float) -> None:
        self._until = now + self._pause_s
        self._probing = False
        self._failures = 0
        self._state += 1
