"""From what a policy says of its judges to judges that can be asked."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

import msgspec

from server.breaker import Breaker
from server.config import ConfigError
from server.moderation.judges.adapter import Adapter
from server.moderation.judges.cache import VerdictCache
from server.moderation.judges.judge import Answer, Bounds, Judge, Post
from server.moderation.judges.llama_guard import LlamaGuard
from server.moderation.judges.o200k import o200k
from server.moderation.judges.privacy_filter import PrivacyFilter
from server.moderation.judges.qwen3guard import Qwen3Guard
from server.moderation.judges.safeguard import Safeguard
from server.moderation.jury import Seat
from server.moderation.policy import Direction, JudgeUse, Policy

FAILURES = 5  # in a row, then an engine is left alone
PAUSE_S = 10.0
WAITING = 256


class Line(Post, Protocol):
    """The way to an engine."""

    def close(self) -> None: ...


class Nowhere:
    """The way to an engine that is not there: for judges that are made and never asked."""

    def __init__(self, engine: str) -> None:
        self._engine = engine

    async def post(self, path: str, body: bytes, *, at_root: bool, within_s: float) -> Answer:
        raise ConnectionError(f"{self._engine} is not asked here")

    def close(self) -> None:
        pass


def unasked(policy: Policy, use: JudgeUse) -> Seat:
    """A seat without judges: for those that look at rules alone."""
    return Seat(f"{use.adapter}@{use.engine}", use, {})


class Seats:
    """Makes `Seat`s, and the same one again for what has not changed: its breaker and its verdicts outlive a reload."""

    def __init__(self, models: Mapping[str, str], connect: Callable[[str], Line], secret: bytes) -> None:
        """`models`: by engine, the one that is asked where a policy names none. `connect` to an engine by its name."""
        self._models = models
        self._connect = connect
        self._lines: dict[str, Line] = {}
        self._cache = VerdictCache(secret)
        self._made: dict[bytes, Judge] = {}

    def seat(self, policy: Policy, use: JudgeUse) -> Seat:
        """Raises `ConfigError`."""
        model = use.model or self._models.get(use.engine)
        if use.engine not in self._models:
            raise ConfigError(f"policy {policy.name}: judges: no engine is called {use.engine}")
        if not model:
            raise ConfigError(f"policy {policy.name}: judges: say which model of {use.engine} is asked (`model`)")
        judges: dict[Direction, Judge] = {}
        for direction in use.directions:
            judges[direction] = self._judge(policy, use, model, direction)
        return Seat(f"{use.adapter}@{use.engine}", use, judges)

    async def start(self) -> None:
        """Nothing has to be begun."""

    async def stop(self) -> None:
        for judge in self._made.values():
            await judge.close()
        for line in self._lines.values():
            line.close()

    def _judge(self, policy: Policy, use: JudgeUse, model: str, direction: Direction) -> Judge:
        adapter = _adapter(policy, use, model, direction)
        bounds = Bounds(use.timeout_s, use.max_concurrent, WAITING)
        key = msgspec.json.encode((use.engine, use.adapter, model, adapter.policy_hash, bounds))
        judge = self._made.get(key)
        if judge is None:
            name = f"{use.adapter}@{use.engine}"
            if use.engine not in self._lines:
                self._lines[use.engine] = self._connect(use.engine)
            line = self._lines[use.engine]
            judge = self._made[key] = Judge(name, adapter, line, self._cache, Breaker(FAILURES, PAUSE_S), bounds)
        return judge


def _adapter(policy: Policy, use: JudgeUse, model: str, direction: Direction) -> Adapter:
    role = "user" if direction == "input" else "assistant"
    if use.adapter == "qwen3guard":
        return Qwen3Guard(model, role, strict=use.controversial == "unsafe")
    if use.adapter == "llama_guard":
        return LlamaGuard(model, role)
    if use.adapter == "privacy_filter":
        return PrivacyFilter(model, o200k())
    assert use.policy_text is not None  # noqa: S101 # checked with the file
    return Safeguard(model, policy.text(use.policy_text), use.categories)
