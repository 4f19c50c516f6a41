"""`python -m bench.state`: what stored responses cost once there are many: to find one, a chain of them, to remove old.

One process, and a database with 100,000 responses of which every lookup takes one by chance; PostgreSQL is a cluster of
the bench's own with its usual settings.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import contextlib
import os
import pwd
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import quantiles

import msgspec
import uvloop
from sqlalchemy import insert

from bench import machine
from bench.environments import say
from bench.process import free_ports
from bench.results import RESULTS, write_section
from bench.site import postgres_programs
from bench.table import markdown, number
from server.retention.sweeper import DEFAULT_PACE, TEXTS
from server.stores.aes_gcm import AesGcm
from server.stores.responses import Item, ResponseRecord
from server.stores.sealing import PLAIN, Sealing
from server.stores.sql.database import Database
from server.stores.sql.opening import open_durable
from server.stores.sql.place import place_of
from server.stores.sql.state_codec import sealed_response
from server.stores.sql.state_tables import responses
from server.stores.sql.store import SqlStore

TITLE = "Stored responses"
TURNS = 200
PROJECT = "proj_bench"
OLD, NEW = 1_000_000, 2_000_000  # when responses were made; half of them are old
TEXT = "The quick brown fox jumps over the lazy dog, and thinks about what to say of it. " * 12  # 1 kB
LOOKUP_MS, PAGE = 5.0, 1000
STEPS = 50  # of a sweep


@dataclass
class Line:
    """Milliseconds: of each operation, in the order in which they were done."""

    nothing: list[float]
    find: list[float]
    find_cpu: list[float]
    add: list[float]
    chain: list[float]
    find_in_sweep: list[float]
    add_in_sweep: list[float]
    step: list[float]


def a_response(number: int, **fields: object) -> tuple[ResponseRecord, list[Item], list[Item]]:
    """Ids grow with time, as those of Portico do; a body of 2 kB, half as much of input and of output."""
    said = msgspec.json.encode({"id": f"msg_{number}", "type": "message", "role": "user", "content": TEXT})
    body = msgspec.json.encode({"id": f"resp_{number:010}", "output": [msgspec.Raw(said)], "instructions": TEXT})
    made = OLD if number % 2 else NEW
    record = ResponseRecord(f"resp_{number:010}", PROJECT, "key_1", made, "completed", "gpt-oss-20b", body)
    return msgspec.structs.replace(record, **fields), [Item(f"msg_{number}", said)], [Item(f"out_{number}", said)]


async def fill(store: SqlStore, sealing: Sealing, count: int) -> None:
    for start in range(0, count, PAGE):
        rows: list[dict[str, object]] = []
        for at in range(start, min(count, start + PAGE)):
            record, given, answered = a_response(at)
            rows.append(sealed_response(record, sealing, input=given, output=answered))
        async with store._database.writing(60) as connection:
            await connection.execute(insert(responses), rows)


async def timed(work: Callable[[], Awaitable[object]]) -> float:
    start = time.perf_counter()
    await work()
    return (time.perf_counter() - start) * 1e3


async def measure(store: SqlStore, sealing: Sealing, count: int, rounds: int) -> Line:
    await fill(store, sealing, count)
    say(f"{store._database.name}: {count:,} responses")
    fresh = iter(range(count, 10**9))

    async def find() -> None:
        await store.response(PROJECT, f"resp_{random.randrange(0, count, 2):010}")

    async def add() -> None:
        await store.add_response(*a_response(next(fresh), created_at=NEW))

    for turn in range(TURNS):
        name, before = f"resp_chain{turn}", f"resp_chain{turn - 1}" if turn else None
        await store.add_response(*a_response(10**9 + turn, id=name, previous_id=before, created_at=NEW))

    async def nothing() -> None:
        async with store._database.reading() as connection:
            await connection.exec_driver_sql("SELECT 1")

    line = Line(
        nothing=[],
        find=[],
        find_cpu=[],
        add=[await timed(add) for _ in range(rounds // 5)],
        chain=[await timed(lambda: store.history(PROJECT, f"resp_chain{TURNS - 1}")) for _ in range(rounds // 50)],
        find_in_sweep=[],
        add_in_sweep=[],
        step=[],
    )
    for _ in range(rounds):  # in turns, so that both suffer the same from whoever else uses the machine
        line.nothing.append(await timed(nothing))
        before_cpu = time.process_time()
        line.find.append(await timed(find))
        line.find_cpu.append((time.process_time() - before_cpu) * 1e3)
    sweeping = asyncio.create_task(sweep(store, line.step))
    while not sweeping.done():
        line.find_in_sweep.append(await timed(find))
        line.add_in_sweep.append(await timed(add))
        await asyncio.sleep(0.002)
    await sweeping
    return line


async def sweep(store: SqlStore, steps: list[float]) -> None:
    """As the sweeper does it."""
    for _ in range(STEPS):
        steps.append(await timed(lambda: store.drop_responses(OLD + 1, TEXTS)))
        await asyncio.sleep(DEFAULT_PACE.pause)


@asynccontextmanager
async def opened(url: str, home: Path, sealing: Sealing) -> AsyncIterator[SqlStore]:
    await (await open_durable(url, home)).close()
    store = SqlStore(Database(place_of(url, home)), sealing=sealing)
    try:
        yield store
    finally:
        await store.close()


@contextmanager
def postgresql(folder: Path) -> Iterator[str | None]:
    """The URL of a cluster of our own; None where PostgreSQL is not installed."""
    programs = postgres_programs()
    if programs is None:
        yield None
        return
    (port,), data = free_ports(1), folder / "data"
    user = _another(folder)

    def run(program: str, *arguments: str) -> None:
        command = [*user, str(programs / program), f"-D{data}", *arguments]
        subprocess.run(command, check=True, capture_output=True, cwd=folder)

    run("initdb", "-Uportico", "--auth=trust", "--encoding=UTF8")
    run("pg_ctl", "start", "-w", f"-l{folder}/log", f"-o-c port={port} -c listen_addresses=127.0.0.1 -k {folder}")
    try:
        yield f"postgresql://portico@127.0.0.1:{port}/postgres"
    finally:
        run("pg_ctl", "stop", "-m", "immediate")


def _another(folder: Path) -> list[str]:
    """PostgreSQL does not run as root."""
    if os.geteuid() != 0:
        return []
    names = {one.pw_name: one for one in pwd.getpwall()}
    user = names.get("postgres") or names["nobody"]
    os.chown(folder, user.pw_uid, user.pw_gid)
    return ["setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups", "--"]


async def measured(count: int, rounds: int) -> dict[str, Line]:
    key = base64.b64encode(bytes(32)).decode()
    lines: dict[str, Line] = {}
    for name, sealing in (("SQLite", PLAIN), ("SQLite, encrypted", AesGcm(key))):
        with tempfile.TemporaryDirectory() as folder:
            async with opened("sqlite:///bench.db", Path(folder), sealing) as store:
                lines[name] = await measure(store, sealing, count, rounds)
    folder = Path(tempfile.mkdtemp(prefix="portico-bench-"))
    with contextlib.ExitStack() as stack:
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        url = stack.enter_context(postgresql(folder))
        if url is not None:
            async with opened(url, folder, PLAIN) as store:
                lines["PostgreSQL"] = await measure(store, PLAIN, count, rounds)
    return lines


def p50_p99(figures: Sequence[float]) -> list[float]:
    if len(figures) < 2:
        return [figures[0]] * 2 if figures else [float("nan")] * 2
    cuts = quantiles(figures, n=100, method="inclusive")
    return [cuts[49], cuts[98]]


def report(lines: dict[str, Line]) -> str:
    columns = ("SELECT 1", "find", "find CPU", "add", f"{TURNS} turns", "find in sweep", "add in sweep", "sweep step")
    cells = [["ms", *(f"{name} {which}" for name in columns for which in ("p50", "p99"))]]
    for name, line in lines.items():
        parts = (
            line.nothing,
            line.find,
            line.find_cpu,
            line.add,
            line.chain,
            line.find_in_sweep,
            line.add_in_sweep,
            line.step,
        )
        cells.append([name, *(number(value, 2) for part in parts for value in p50_p99(part))])
    verdicts: list[str] = []
    for name, line in lines.items():
        found, floor = p50_p99(line.find)[1], p50_p99(line.nothing)[1]
        said = "met" if found <= LOOKUP_MS else "MISSED"
        verdicts.append(
            f"- find one, p99, {name}: {number(found, 2)} ms (bar {LOOKUP_MS:g}): {said}; `SELECT 1` took "
            f"{number(floor, 2)} ms"
        )
    return f"{markdown(cells)}\n\n" + "\n".join(verdicts)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.state", description="What many stored responses cost.")
    parser.add_argument("--write", action="store_true", help=f"keep the table in bench/{RESULTS.name}")
    parser.add_argument("--responses", type=int, default=100_000, help="how many are stored")
    parser.add_argument("--rounds", type=int, default=5000, help="lookups that are measured")
    args = parser.parse_args()
    before = machine.describe()
    lines = uvloop.run(measured(args.responses, args.rounds))
    load = os.getloadavg()[0]
    text = (
        f"{before}, load {load:.1f} at the end\n\n{args.responses:,} responses of some 4 kB. `SELECT 1`: a query for "
        "nothing, in turns with `find`: what connection, threads and the machine cost. `find`: one response by its id; "
        "`find CPU`: of this process alone, so without the server of PostgreSQL. `add`: a response that has ended; "
        f"`{TURNS} turns`: the items of a chain of so many, by one query. In a sweep old ones are removed, {TEXTS} in "
        f"each step, while others are found and added.\n\n{report(lines)}"
    )
    print(text)
    if args.write:
        write_section(TITLE, f"Made by `python -m bench.state --write`.\n\n{text}")
        say(f"written to {RESULTS}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
