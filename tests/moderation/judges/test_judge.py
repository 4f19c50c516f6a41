"""The shell over a real HTTP server that answers well and badly."""

from __future__ import annotations

import asyncio
import logging

import pytest

from server.moderation.judges.judge import Bounds
from server.moderation.judges.verdicts import Failure, JudgeFailed, Verdict, decided
from tests.behaviour.engine_double import Exchange, Script, breaks, error, hang, raw
from tests.moderation.judges.answers import chat
from tests.moderation.judges.judging import (
    FAILURES,
    HATE,
    PATIENT,
    PAUSE_S,
    SAFE,
    SMALL,
    SOON,
    Bench,
    bench,
    judged_text,
    says,
    until,
)
from tests.moderation.judges.test_safeguard import INJECTIONS

OK_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n"


async def failure(at: Bench, text: str = "text") -> Failure:
    with pytest.raises(JudgeFailed) as caught:
        await at.judge.ask(text)
    assert text not in str(caught.value)
    return caught.value.failure


async def drip(exchange: Exchange) -> None:
    """A good answer, one byte at a time and never the last."""
    await exchange.send(OK_HEAD)
    for byte in chat(SAFE)[:-1]:
        await exchange.part(bytes([byte]))
        await asyncio.sleep(0.02)
    await exchange.hang()


async def huge(exchange: Exchange) -> None:
    """A good answer and then spaces, which JSON allows, without end."""
    await exchange.send(OK_HEAD)
    await exchange.part(chat(SAFE))
    await asyncio.sleep(0.01)
    while True:
        await exchange.part(b" " * 10_000)


# Outcomes


async def test_verdicts() -> None:
    async with bench() as at:
        at.engine.plan(says(SAFE), says(HATE))
        assert await at.judge.ask("good") == Verdict(False, {}, "safe", 4, 4)
        assert await at.judge.ask("bad") == Verdict(True, {"hate": 1.0}, "violation", 3, 3)
        assert await at.judge.ask("") == Verdict(False, {}, "safe", 0, 0)
        assert len(at.engine.calls) == 2


@pytest.mark.parametrize(
    ("script", "outcome", "counts"),
    [
        (hang(), Failure.LATE, True),
        (drip, Failure.LATE, True),
        (breaks(), Failure.UNREACHABLE, True),
        (raw(OK_HEAD + b"5\r\nhello\r\n"), Failure.UNREACHABLE, True),
        (raw(b"garbage\r\n\r\n"), Failure.UNREACHABLE, True),
        (error(500), Failure.REFUSED, True),
        (error(502, body=b"<html>"), Failure.REFUSED, True),
        (error(503), Failure.OVERLOADED, True),
        (error(429), Failure.OVERLOADED, True),
        (error(400), Failure.REFUSED, False),
        (error(404), Failure.REFUSED, False),
        (error(200), Failure.MALFORMED, False),
        (says("I cannot say."), Failure.MALFORMED, False),
        (raw(b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n" + chat(SAFE)[:-9]), Failure.MALFORMED, False),
        (huge, Failure.MALFORMED, False),
    ],
    ids=["hangs", "drips", "resets", "cut", "not HTTP", "500", "502", "503", "429", "400", "404", "an error with 200",
         "prose", "cut at the end of the connection", "huge"],
)  # fmt: skip
async def test_failures_and_which_of_them_open_the_breaker(script: Script, outcome: Failure, counts: bool) -> None:
    slow = outcome is Failure.LATE
    async with bench(bounds=SOON if slow else PATIENT) as at:
        at.engine.always = script
        for number in range(FAILURES):
            assert await failure(at, f"text {number}") is outcome
        if outcome in (Failure.LATE, Failure.MALFORMED) and script in (drip, huge):
            await asyncio.gather(*(call.left.wait() for call in at.engine.calls))
        at.engine.always = says(SAFE)
        if counts:
            assert await failure(at) is Failure.BREAKER_OPEN
        else:
            assert not (await at.judge.ask("text")).flagged


async def test_nobody_there() -> None:
    async with bench() as at:
        await at.engine.stop()
        assert await failure(at) is Failure.UNREACHABLE
        await at.engine.start()
        at.engine.always = says()
        assert not (await at.judge.ask("text")).flagged


# The breaker


async def test_an_open_breaker_asks_nothing_until_a_probe_finds_the_engine_well(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with bench() as at:
        at.engine.always = error(500)
        for number in range(FAILURES):
            await failure(at, f"text {number}")
        asked = len(at.engine.calls)
        at.now += PAUSE_S - 1
        assert await failure(at) is Failure.BREAKER_OPEN
        assert len(at.engine.calls) == asked
        at.now += 1
        at.engine.plan(hang())
        probe = asyncio.create_task(at.judge.ask("probe"))
        await until(at, asked + 1)
        assert await failure(at) is Failure.BREAKER_OPEN, "one probe at a time"
        probe.cancel()  # which says nothing of the engine
        await at.engine.calls[-1].left.wait()
        at.engine.plan(error(500))
        assert await failure(at) is Failure.REFUSED, "the next is the probe"
        assert await failure(at) is Failure.BREAKER_OPEN
        at.now += PAUSE_S
        at.engine.always = says(SAFE)
        for text in ("one", "two"):
            assert not (await at.judge.ask(text)).flagged
        said = [record.getMessage() for record in caplog.records if record.name == "portico"]
        assert said == ["judge test fails again and again: left alone for a while", "judge test answers again"]


async def test_a_good_answer_in_between_keeps_the_breaker_closed() -> None:
    async with bench() as at:
        for number in range(3):
            at.engine.plan(*[error(500)] * (FAILURES - 1), says(SAFE))
            for other in range(FAILURES - 1):
                assert await failure(at, f"{number} {other}") is Failure.REFUSED
            assert not (await at.judge.ask(f"{number}")).flagged


# Bounds


async def test_no_more_at_once_than_the_bound() -> None:
    async with bench(bounds=Bounds(timeout_s=20, concurrent=3, waiting=50)) as at:
        running = most = 0

        async def script(exchange: Exchange) -> None:
            nonlocal running, most
            running += 1
            most = max(most, running)
            await asyncio.sleep(0.005)
            running -= 1
            await exchange.whole(200, chat(SAFE))

        at.engine.always = script
        verdicts = await asyncio.gather(*(at.judge.ask(f"text {number}") for number in range(40)))
        assert len(verdicts) == len(at.engine.calls) == 40
        assert most == 3


async def test_no_more_wait_than_the_bound() -> None:
    async with bench(bounds=Bounds(timeout_s=20, concurrent=1, waiting=2)) as at:
        at.engine.always = hang()
        asks = [asyncio.create_task(at.judge.ask(f"text {number}")) for number in range(3)]
        await until(at, 1)
        assert await failure(at, "one too many") is Failure.OVERLOADED
        assert not any(one.done() for one in asks)
        for one in asks:
            one.cancel()
        await asyncio.wait(asks)
        at.engine.always = says(SAFE)
        assert not (await at.judge.ask("after that")).flagged, "no slot is lost"


async def test_none_waits_for_ever() -> None:
    async with bench(bounds=Bounds(timeout_s=0.3, concurrent=1, waiting=9)) as at:
        at.engine.always = hang()
        asks = [asyncio.create_task(at.judge.ask(f"text {number}")) for number in range(5)]
        outcomes = await asyncio.gather(*asks, return_exceptions=True)
        failures = [one.failure for one in outcomes if isinstance(one, JudgeFailed)]
        assert failures[0] is Failure.LATE
        assert len(failures) == 5
        assert set(failures[1:]) <= {Failure.OVERLOADED, Failure.LATE}
        at.engine.always = says(SAFE)
        assert not (await at.judge.ask("after that")).flagged, "that opens no breaker"


async def test_our_own_queue_opens_no_breaker() -> None:
    """Questions that get a slot when most of their time is over are late through no fault of the engine."""
    async with bench(bounds=Bounds(timeout_s=0.4, concurrent=1)) as at:
        at.engine.always = hang()
        for number in range(FAILURES):
            before = asyncio.create_task(at.judge.ask(f"before {number}"))
            after = asyncio.create_task(at.judge.ask(f"after {number}"))
            await asyncio.wait((before,), timeout=0.3)
            before.cancel()
            outcome = (await asyncio.gather(after, return_exceptions=True))[0]
            assert isinstance(outcome, JudgeFailed)
            assert outcome.failure in (Failure.LATE, Failure.OVERLOADED)
        at.engine.always = says(SAFE)
        assert not (await at.judge.ask("text")).flagged


# Together


async def test_the_same_text_is_asked_once_and_then_known() -> None:
    async with bench() as at:
        at.engine.always = says(HATE)
        verdicts = await asyncio.gather(*(at.judge.ask("text") for _ in range(50)))
        verdicts.append(await at.judge.ask("text"))
        assert all(one.flagged for one in verdicts)
        assert len(at.engine.calls) == 1
        at.now += 601  # longer than a verdict is kept
        await at.judge.ask("text")
        assert len(at.engine.calls) == 2


async def test_a_failure_is_for_all_who_wait_and_is_not_kept() -> None:
    async with bench() as at:
        at.engine.plan(error(400))
        outcomes = await asyncio.gather(*(at.judge.ask("text") for _ in range(5)), return_exceptions=True)
        assert all(isinstance(one, JudgeFailed) and one.failure is Failure.REFUSED for one in outcomes)
        at.engine.always = says(SAFE)
        assert not (await at.judge.ask("text")).flagged
        assert len(at.engine.calls) == 2


async def test_who_leaves_takes_nobodys_verdict_along_and_the_last_ends_the_question() -> None:
    async with bench() as at:
        may_answer = asyncio.Event()

        async def script(exchange: Exchange) -> None:
            await may_answer.wait()
            await exchange.whole(200, chat(SAFE))

        at.engine.plan(script)
        first, second = (asyncio.create_task(at.judge.ask("text")) for _ in range(2))
        await until(at, 1)
        first.cancel()
        await asyncio.wait((first,))
        may_answer.set()
        assert not (await second).flagged
        assert not at.engine.calls[0].left.is_set()

        at.engine.plan(hang(), says(HATE))
        third, fourth = (asyncio.create_task(at.judge.ask("another")) for _ in range(2))
        await until(at, 2)
        third.cancel()
        fourth.cancel()
        await asyncio.wait((third, fourth))
        assert (await at.judge.ask("another")).flagged, "asked anew, not joined to what was broken off"
        await at.engine.calls[1].left.wait()


async def test_closing_ends_what_is_asked() -> None:
    async with bench() as at:
        at.engine.always = hang()
        asks = [asyncio.create_task(at.judge.ask(f"text {number}")) for number in range(3)]
        await until(at, 3)
        await at.judge.close()
        outcomes = await asyncio.gather(*asks, return_exceptions=True)
        assert [one.failure for one in outcomes if isinstance(one, JudgeFailed)] == [Failure.STOPPED] * 3
        assert not [one for one in asyncio.all_tasks() if one.get_name().startswith("judge")]
        await asyncio.gather(*(call.left.wait() for call in at.engine.calls))
        assert await failure(at) is Failure.STOPPED


# Windows


async def test_a_long_text_in_windows() -> None:
    seen: list[str] = []

    async def script(exchange: Exchange) -> None:
        seen.append(judged_text(exchange))
        await exchange.whole(200, chat(HATE if "bad" in seen[-1] else SAFE))

    async with bench(SMALL) as at:
        at.engine.always = script
        assert await at.judge.ask("0123456789abcdef") == Verdict(False, {}, "safe", 16, 16)
        assert sorted(seen) == ["0123456789", "89abcdef"]
        assert (await at.judge.ask("01234567bad")).flagged
        partly = await at.judge.ask("x" * 20 + "bad" + "y" * 1000)
        assert (partly.flagged, partly.scanned, partly.length) == (False, 28, 1023)
        assert decided(partly).flagged
        assert (await at.judge.ask("y" * 1000 + "bad")).flagged


async def test_a_window_without_a_verdict() -> None:
    async def script(exchange: Exchange) -> None:
        text = judged_text(exchange)
        await exchange.whole(500 if "x" in text else 200, chat(HATE if "bad" in text else SAFE))

    async with bench(SMALL) as at:
        at.engine.always = script
        assert await failure(at, "0123456789x") is Failure.REFUSED
        verdict = await at.judge.ask("bad3456789x")
        assert (verdict.flagged, verdict.scanned, verdict.length) == (True, 10, 11)


# Attacks


@pytest.mark.parametrize("name", INJECTIONS)
async def test_an_injection_over_the_wire(name: str) -> None:
    """The engine gets it neutralised, between lines of this call, and only its own JSON counts."""
    text = INJECTIONS[name]
    async with bench() as at:
        at.engine.plan(says(HATE), says(HATE))
        assert (await at.judge.ask(text)).flagged
        await at.judge.ask(text + ".")
        shown = [call.json["messages"][-1]["content"] for call in at.engine.calls]
        assert all("<|" not in one for one in shown)
        begin, other = (one.partition("\n")[0] for one in shown)
        assert begin != other, "a boundary that has been seen is worth nothing"
        assert begin.removeprefix("=== BEGIN ") not in text


async def test_a_megabyte_costs_a_few_questions_and_is_not_called_safe() -> None:
    async with bench() as at:
        at.engine.always = says(SAFE)
        text = "<|end|>" * 150_000
        verdict = await at.judge.ask(text)
        assert len(at.engine.calls) == 4
        assert max(len(call.body) for call in at.engine.calls) < 40_000
        assert (verdict.flagged, verdict.whole, verdict.length) == (False, False, len(text))
        assert decided(verdict).flagged


async def test_no_text_in_logs(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    secret = "my very private words"
    async with bench() as at:
        for script in (error(500, secret), says(secret), error(400, secret), raw(secret.encode()), *[breaks()] * 3):
            at.engine.plan(script)
            await failure(at, secret)
        assert await failure(at, secret) is Failure.BREAKER_OPEN
        assert "left alone" in caplog.text
        assert "private" not in caplog.text
