"""Fairness bench: its requests, what it makes of what it saw, its configuration, the file of results."""

from __future__ import annotations

import json
import math
import random
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
import uvloop

from bench import fairness, results
from bench.answers import Stream
from bench.fairness import LIVE, SIMULATED, Backend, Line, Way, configuration, report, verdicts
from bench.sim_engine import Options, start
from bench.tenants import Load, Seen, Tenant, run
from server.config import load


def answer(times: list[float], prompt: int = 0, tokens: int = 0) -> Stream:
    stream = Stream()
    stream.times, stream.prompt_tokens, stream.tokens = times, prompt, tokens
    return stream


def test_service_counts_what_was_given_within_the_time() -> None:
    seen = [
        Seen("one", 0.0, answer([1.0, 11.0, 12.0, 13.0], prompt=100, tokens=8)),  # begun before: no prompt
        Seen("other", 11.0, answer([12.0, 13.0], prompt=50, tokens=2)),
        Seen("other", 18.0, answer([19.0, 21.0])),  # cut: a prompt as its others, a token for each chunk
        Seen("other", 19.5, answer([])),
    ]
    load = Load(10.0, 20.0, seen)
    assert load.service() == {"one": 2 * 2 * 3, "other": 50 + 2 * 2 + 50 + 2 * 1}
    assert load.first_tokens("other") == [1.0, 1.0]
    assert load.first_tokens("one") == []
    load.seen.append(Seen("other", 15.0, answer([])))
    assert load.first_tokens("other") == [1.0, 1.0, 5.0]
    assert load.per_second() == pytest.approx(6 * 10 / 6 / 10)


def test_a_request_has_its_size_and_no_other_is_like_it() -> None:
    tenant = Tenant("one", "sk", 1, 500, (10, 20))
    rng = random.Random(1)
    bodies = [tenant.body("m", rng) for _ in range(20)]
    assert len(set(bodies)) == 20
    assert all(0.7 < len(body) / 4 / 500 < 1.5 for body in bodies)
    assert all(10 <= json.loads(body)["max_tokens"] <= 20 for body in bodies)


@pytest.mark.parametrize(
    ("way", "projects", "bound"),
    [(Way("fair"), {"one", "other"}, 64), (Way("fifo", one_project=True), {"one"}, 64),
     (Way("own", unbounded=True), {"one", "other"}, fairness.NO_BOUND)],
)  # fmt: skip
def test_the_configurations_are_valid(tmp_path: Path, way: Way, projects: set[str], bound: int) -> None:
    path = tmp_path / "portico.yaml"
    path.write_text(configuration(Backend("http://127.0.0.1:1", "m", vllm=True), LIVE, way, (8000, 9464), tmp_path))
    config = load(path, environ={})
    assert {key.project for key in config.auth.static_keys} == projects
    assert config.engines["engine"].max_in_flight == bound
    assert config.engines["engine"].vllm


def test_the_floods_size() -> None:
    flood, trickle = fairness.flood(SIMULATED)
    assert (flood.clients, trickle.clients) == (640, 1)
    assert flood.prompt > 10 * trickle.prompt
    assert min(tenant.clients for tenant in fairness.backlogged(SIMULATED)) > SIMULATED.seqs


def test_waits_of_a_key_come_from_the_ledger(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "portico.db")) as connection, connection:
        connection.execute("CREATE TABLE usage (key_id TEXT, at_ms INTEGER, queued_ms REAL)")
        rows = [("key_trickle", 999, 1), ("key_trickle", 1000, 2), ("key_flood", 1500, 3), ("key_trickle", 3000, 4)]
        connection.executemany("INSERT INTO usage VALUES (?, ?, ?)", rows)
    assert fairness.queued_ms(tmp_path / "portico.db", "trickle", 1.0, 3.0) == [2.0, 4.0]


def lines(p99: float = 150.0, speed: float = 99.0, share: float = 0.64) -> dict[str, Line]:
    found = [
        Line("alone", 90.0, 100.0),
        Line("flood fair", 100.0, p99, per_second=speed),
        Line("flood fifo", 900.0, 1000.0, per_second=100.0),
        Line("shares fair 2:1", share=share, wanted=2 / 3),
    ]
    return {line.name: line for line in found}


def test_verdicts() -> None:
    assert not any("MISSED" in one for one in verdicts(lines()))
    for bad in (lines(p99=201.0), lines(speed=97.0), lines(share=0.6), lines(p99=math.nan)):
        assert sum("MISSED" in one for one in verdicts(bad)) == 1
    assert "| flood fifo" in report(lines()) and "10.00" in report(lines())


def test_sections_of_the_results_are_kept() -> None:
    text = "# First\n\none\n\n## Part of it\n\n# Second\n\ntwo\n"
    assert results.with_section(text, "Second", "new") == "# First\n\none\n\n## Part of it\n\n# Second\n\nnew\n"
    assert results.with_section(text, "First", "new") == "# First\n\nnew\n\n# Second\n\ntwo\n"
    assert results.with_section(text, "Third", "new") == text + "\n# Third\n\nnew\n"
    assert results.with_section("", "First", "new") == "# First\n\nnew\n"
    again = results.with_section(text, "First", "new")
    assert results.with_section(again, "First", "new") == again


def test_the_engine_with_a_queue_of_its_own_computes_so_many_at_once() -> None:
    async def measure() -> tuple[Load, int, int]:
        options = Options(tokens=5, chunks=5, interval_ms=1, seqs=2, prefill_per_s=1e6)
        server, engine = await start(options)
        async with server:
            base = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
            tenants = [Tenant("one", "sk", 5, 100, (5, 5)), Tenant("other", "sk", 1, 20, (5, 5), 0.01)]
            load = await run(base, "m", tenants, 0.0, 0.5)
            most = engine.computing
        return load, most, engine.stats.served

    load, most, served = uvloop.run(measure())
    assert not load.errors
    assert most <= 2
    assert served > 5
    whole = [one for one in load.seen if one.answer.tokens]
    assert {one.answer.tokens for one in whole} == {5}
    assert all(one.answer.prompt_tokens > (80 if one.tenant == "one" else 10) for one in whole)
    assert {one.tenant for one in whole} == {"one", "other"}
