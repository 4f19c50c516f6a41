"""The bench of stored responses measures what it says."""

from __future__ import annotations

import asyncio
from pathlib import Path

from bench.state import STEPS, TURNS, Line, measure, opened, p50_p99, report
from server.stores.sealing import PLAIN


def test_it_finds_adds_chains_and_sweeps(tmp_path: Path) -> None:
    async def run() -> Line:
        async with opened("sqlite:///bench.db", tmp_path, PLAIN) as store:
            line = await measure(store, PLAIN, 300, 50)
            assert len(await store.history("proj_bench", f"resp_chain{TURNS - 1}")) == 2 * TURNS
            assert await store.drop_responses(2_000_000, 10) == 0, "all that was old is gone"
            return line

    line = asyncio.run(run())
    assert [len(one) for one in (line.nothing, line.find_cpu)] == [50, 50]
    assert [len(one) for one in (line.find, line.add, line.chain, line.step)] == [50, 10, 1, STEPS]
    assert line.find_in_sweep and line.add_in_sweep
    assert min(line.find + line.add + line.chain) > 0


def test_the_report_holds_lookups_to_their_bar() -> None:
    quick, slow = (
        Line([0.5], find, [0.4], add=[2.0], chain=[3.0], find_in_sweep=[], add_in_sweep=[], step=[4.0])
        for find in ([1.0] * 99 + [9.0], [6.0] * 9)
    )
    text = report({"SQLite": quick, "PostgreSQL": slow})
    assert "find one, p99, SQLite: 1.08 ms (bar 5): met" in text
    assert "find one, p99, PostgreSQL: 6.00 ms (bar 5): MISSED" in text
    assert p50_p99([3.0, 1.0, 2.0])[0] == 2.0
