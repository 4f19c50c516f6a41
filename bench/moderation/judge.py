"""Verdicts about a set: asked of an engine with the gateway's own judges, or read from a file."""

from __future__ import annotations

import asyncio
import json
import secrets
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, cast

from bench.moderation.sets import SetError, Text
from server.config import Engine
from server.engines.ask import EngineAsk
from server.moderation.judges.judge import Judge
from server.moderation.judges.verdicts import JudgeFailed
from server.moderation.jury import Seat
from server.moderation.policy import JudgeUse, Policy, PolicyFile
from server.moderation.seats import Seats
from server.watchdog import Watchdog

CERTAIN = 0.5  # the least score that counts
AT_ONCE = 16


class Verdicts(NamedTuple):
    """Categories by the id of the text, and why there is none for others."""

    said: dict[str, frozenset[str]]
    failures: Counter[str]


def ask(url: str, api_key: str | None, use: JudgeUse, policy_text: Path | None, texts: Sequence[Text]) -> Verdicts:
    """As a request's text would be judged. Raises `ConfigError`."""
    content = {} if policy_text is None else {policy_text: policy_text.read_bytes()}
    policy = Policy(PolicyFile(name="bench", version=1, judges=(use,)), b"", content)
    return asyncio.run(asked(url, api_key, policy, use, texts))


async def asked(url: str, api_key: str | None, policy: Policy, use: JudgeUse, texts: Sequence[Text]) -> Verdicts:
    """Some at once."""

    def connect(_: str) -> EngineAsk:
        return EngineAsk(Engine(url=url), url, api_key, Watchdog())

    seats = Seats({use.engine: use.model or ""}, connect, secrets.token_bytes(32))
    seat: Seat = seats.seat(policy, use)
    room = asyncio.Semaphore(AT_ONCE)
    found = Verdicts({}, Counter())

    async def one(text: Text) -> None:
        async with room:
            await _judged(seat.judges["input"], text, found)

    try:
        await asyncio.gather(*map(one, texts))
    finally:
        await seats.stop()
    return found


async def _judged(judge: Judge, text: Text, found: Verdicts) -> None:
    try:
        verdict = await judge.ask(text.text)
    except JudgeFailed as failed:
        found.failures[failed.failure.value] += 1
        return
    names = {name for name, score in verdict.categories.items() if score >= CERTAIN}
    found.said[text.id] = frozenset(names or {"violation"}) if verdict.flagged else frozenset()


def read_verdicts(path: Path) -> Verdicts:
    """Lines of JSON: `id`, and `categories`, which are names or have a score each. Raises `SetError`."""
    try:
        lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
        return Verdicts({str(one["id"]): _certain(one["categories"]) for one in lines}, Counter())
    except OSError as error:
        raise SetError(f"{path}: cannot be read: {error.strerror}") from None
    except (KeyError, ValueError, TypeError) as error:
        raise SetError(f"{path}: is no file of verdicts ({type(error).__name__})") from None


def _certain(given: Any) -> frozenset[str]:
    if isinstance(given, dict):
        return frozenset(name for name, score in cast(dict[str, float], given).items() if score >= CERTAIN)
    if isinstance(given, list):
        return frozenset(cast(list[str], given))
    raise TypeError
