"""How far a long set-up is: one live line on a terminal, plain lines elsewhere (a log, a container, CI)."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.markup import escape
from rich.status import Status

PLAIN_EVERY_S = 15.0  # without a terminal a step that goes on says so this often


class Progress:
    """`step()` begins the next of `total` steps, `detail()` says what is in work, `tick()` keeps the clock going."""

    def __init__(self, console: Console, total: int) -> None:
        self._console = console
        self._total = total
        self._number = 0
        self._title = ""
        self._detail = ""
        self._began = self._spoke = time.monotonic()
        self._live: Status | None = None

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._live = self._console.status("", spinner="dots")
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self._done()
        if self._live is not None:
            self._live.stop()

    def step(self, title: str) -> None:
        self._done()
        self._number += 1
        self._title, self._detail = title, ""
        self._began = self._spoke = time.monotonic()
        if self._live is None:
            self._say(f"[{self._number}/{self._total}] {title} ...")
        self.tick()

    def detail(self, text: str) -> None:
        self._detail = text
        self.tick()

    def tick(self) -> None:
        now = time.monotonic()
        seconds = f"{now - self._began:.0f} s"
        if self._live is not None:
            detail = f", {self._detail}" if self._detail else ""
            self._live.update(escape(f"[{self._number}/{self._total}] {self._title}{detail} ({seconds})"))
        elif now - self._spoke >= PLAIN_EVERY_S:
            self._spoke = now
            self._say(f"[{self._number}/{self._total}] {self._detail or 'still working'} ({seconds})")

    def _done(self) -> None:
        if self._number:
            self._say(f"[{self._number}/{self._total}] {self._title}: done in {time.monotonic() - self._began:.0f} s")

    def _say(self, text: str) -> None:
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)
