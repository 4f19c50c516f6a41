"""`python -m bench.replicas`: gateways, engines, a Redis and a PostgreSQL under load, and each taken away in turn.

Readers stream all the time, on gateways by chance, as behind a load balancer that knows nothing of them. What is taken
away stays away for some seconds and comes back. The table says what that did to open streams and how long it was felt;
the checks after it, that no stream broke which could have gone on, that no limit was exceeded, and that the usage in
the database is that of the streams: each once.

As root, each is a machine of its own (a network namespace), and links between two can be cut. Else they have loopback
addresses, and those rows are missing.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import math
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import uvloop

from bench import machine
from bench.crowd import Crowd, Stream, most_at_once, most_within
from bench.environments import say
from bench.networks import Loopback, Namespaces, Network, namespaces
from bench.process import StartError
from bench.results import write_section
from bench.site import API, MODEL, Site, nodes, numbered, postgres_programs, until
from bench.table import markdown, number

TITLE = "Several replicas: what a loss costs"
GATEWAYS, ENGINES = 3, 2
WELL_S = 60.0
CONCURRENT, PER_MINUTE = 12, 240
ROOT = Path(__file__).parent.parent


@dataclass(frozen=True)
class Plan:
    """`streams` at once, of them `limited` with a key under limits; tokens of an answer and the time between them."""

    streams: int = 200
    limited: int = 24
    tokens: int = 60
    limited_tokens: int = 20
    interval_ms: float = 50.0
    away_s: float = 4.0
    calm_s: float = 2.0


@dataclass(frozen=True)
class Loss:
    """What is taken away and given back; `well` says that all is as before. `lost` cannot but break what is on it."""

    name: str
    take: Callable[[], Awaitable[object]]
    give: Callable[[], Awaitable[object]]
    well: Callable[[], bool]
    lost: str = ""  # a gateway or an engine
    shared: bool = False  # with it the limits lose what they share


@dataclass
class Row:
    """Of one loss. Times in seconds; `felt_s`: from the loss to the last stream that broke or was refused."""

    name: str
    taken_at: float
    well_at: float
    open: int
    broken: int
    unjust: int  # of these, on nothing that was lost
    refused: int
    felt_s: float
    well_s: float  # from its return


@dataclass
class Report:
    rows: list[Row] = field(default_factory=list[Row])
    faults: list[str] = field(default_factory=list[str])
    streams: int = 0
    whole: int = 0
    in_usage: int = 0
    most_at_once: int = 0
    most_per_minute: int = 0


def losses(site: Site, crowd: Crowd) -> list[Loss]:
    """In this order: those that may not touch a limit come first."""
    gateways, away = numbered("gateway", GATEWAYS), asyncio.to_thread

    def engines_up() -> bool:
        return all(site.metric(node, "portico_engine_up") == ENGINES for node in gateways)

    def limits_shared() -> bool:
        return all(site.metric(node, "portico_limits_degraded") == 0 for node in gateways)

    def killed(node: str, well: Callable[[], bool], lost: str = "", shared: bool = False) -> Loss:
        name = f"{node.rstrip('0123456789')} killed"
        return Loss(name, lambda: away(site.kill, node), lambda: site.start(node), well, lost, shared)

    def cut(other: str, well: Callable[[], bool], shared: bool = False) -> Loss:
        ends = ("gateway2", other)
        name = f"network cut: gateway, {other.rstrip('0123456789')}"
        return Loss(
            name,
            lambda: away(site.network.cut, *ends),
            lambda: away(site.network.mend, *ends),
            well,
            shared=shared,
        )

    stopped = Loss("gateway stopped", lambda: away(site.stop, "gateway1"), lambda: site.start("gateway1"), engines_up)
    delivered = Delivered(site, crowd)
    able = isinstance(site.network, Namespaces)
    return [
        stopped,
        killed("gateway3", engines_up, "gateway3"),
        killed("engine1", engines_up, "engine1"),
        killed("postgres", delivered),
        *([cut("postgres", delivered), cut("engine2", engines_up), cut("redis", limits_shared, True)] if able else []),
        killed("redis", limits_shared, shared=True),
    ]


class Delivered:
    """Whether the usage of all that had ended at the time of the first question is in the database."""

    def __init__(self, site: Site, crowd: Crowd) -> None:
        self._site = site
        self._crowd = crowd
        self._wanted = 0

    def __call__(self) -> bool:
        self._wanted = self._wanted or sum(stream.whole for stream in self._crowd.streams)
        with contextlib.suppress(subprocess.CalledProcessError):
            if int(self._site.sql("SELECT count(*) FROM usage WHERE outcome = 'ok'")[0][0]) >= self._wanted:
                self._wanted = 0
                return True
        return False


async def suffer(loss: Loss, crowd: Crowd, plan: Plan) -> tuple[float, float, float]:
    """When it was taken, when it was given back, and when all was well again. Raises StartError."""
    say(loss.name)
    taken = time.monotonic()
    await asyncio.gather(loss.take(), asyncio.sleep(plan.away_s))
    given = time.monotonic()
    await loss.give()
    await until(loss.well, WELL_S, f"{loss.name}: it is not well again after {WELL_S:.0f} s")
    well = time.monotonic()
    await asyncio.sleep(plan.calm_s)
    return taken, given, well


async def measure(site: Site, plan: Plan) -> Report:
    """Raises StartError."""
    await site.start_all()
    free = site.portico("keys", "create", "free")["value"]
    kinds = (f"concurrent_requests={CONCURRENT}", f"requests_per_minute={PER_MINUTE}")
    limits = [word for kind in kinds for word in ("--limit", kind)]
    limited = site.portico("keys", "create", "limited", *limits)["value"]
    crowd = Crowd([(site.address(node), API) for node in numbered("gateway", GATEWAYS)], MODEL)
    whole_s = plan.tokens * plan.interval_ms / 1e3
    kinds_of = [(free, plan.tokens)] * (plan.streams - plan.limited) + [(limited, plan.limited_tokens)] * plan.limited
    # Begun one after the other: in step, all their streams would end in the same moment, and some losses hit none.
    readers = [
        asyncio.create_task(crowd.reader(*kind, after_s=whole_s * at / plan.streams))
        for at, kind in enumerate(kinds_of)
    ]
    await asyncio.sleep(2 * whole_s + plan.calm_s)
    times: list[tuple[Loss, float, float, float]] = []
    for loss in losses(site, crowd):
        times.append((loss, *await suffer(loss, crowd, plan)))
    crowd.stopping = True
    await asyncio.gather(*readers)
    for node in numbered("gateway", GATEWAYS):
        await asyncio.to_thread(site.stop, node)
    report = judged(crowd.streams, times, site.engine_of())
    check_usage(report, crowd.streams, free, plan, site)
    check_limits(report, crowd.streams, limited, times, site)
    return report


def judged(
    streams: Sequence[Stream], times: Sequence[tuple[Loss, float, float, float]], engine_of: dict[str, str]
) -> Report:
    """What each loss did, and which streams broke that were on nothing that was lost."""
    report = Report(streams=sum(bool(one.begun) for one in streams), whole=sum(one.whole for one in streams))
    ends = [taken for _, taken, _, _ in times[1:]] + [math.inf]
    for (loss, taken, given, well), end in zip(times, ends, strict=True):
        during = [one for one in streams if taken <= one.ended < end]
        broken = [one for one in during if one.broken]
        refused = [one for one in during if one.refused]
        unjust = [
            one for one in broken if loss.lost not in (f"gateway{one.gateway + 1}", engine_of.get(one.request_id))
        ]
        last = max((one.ended for one in (*broken, *refused)), default=taken)
        opened = sum(one.status != 429 and one.sent <= taken < one.ended for one in streams)
        counts = (opened, len(broken), len(unjust), len(refused))
        report.rows.append(Row(loss.name, taken, well, *counts, last - taken, well - given))
        for one in unjust[:3]:
            report.faults.append(f"{loss.name}: a stream on gateway {one.gateway + 1} broke: {one.why}")
    before = [one for one in streams if one.ended < times[0][1] and (one.broken or one.refused)]
    report.faults += [f"before any loss: {one.why}" for one in before[:3]]
    return report


def check_usage(report: Report, streams: Sequence[Stream], free: str, plan: Plan, site: Site) -> None:
    """Each stream once in the database, a whole one with all its tokens, and the sums by hour of the same calls."""
    rows = {row[0]: row for row in site.sql("SELECT call_id, outcome, completion FROM usage WHERE prompt > 0")}
    report.in_usage = len(rows)
    for one in (one for one in streams if one.begun):
        _, outcome, completion = rows.pop(one.request_id, ("", "missing", "0"))
        wanted = plan.tokens if one.key == free else plan.limited_tokens
        if one.whole and (outcome, int(completion)) != ("ok", wanted):
            report.faults.append(f"usage of a whole stream: {outcome}, {completion} of {wanted} tokens")
        if outcome == "missing" and one.broken:
            report.faults.append("usage of a stream that broke is missing")
    if strange := [row for row in rows.values() if row[1] == "ok"]:
        report.faults.append(f"usage of {len(strange)} whole streams that nobody read")
    statement = (
        "SELECT (SELECT count(*) FROM usage WHERE prompt > 0), (SELECT sum(completion) FROM usage),"
        " (SELECT sum(requests) FROM usage_hours), (SELECT sum(completion) FROM usage_hours)"
    )
    calls, tokens, summed, summed_tokens = site.sql(statement)[0]
    if (calls, tokens) != (summed, summed_tokens):
        report.faults.append(f"usage by hour has {summed} calls, {summed_tokens} tokens, and not {calls}, {tokens}")


def check_limits(
    report: Report,
    streams: Sequence[Stream],
    limited: str,
    times: Sequence[tuple[Loss, float, float, float]],
    site: Site,
) -> None:
    """By the gateways' own clocks, from the usage: a call holds its place from before its first token to after its end.

    While a gateway is without the shared store it enforces its share with counters of its own that begin empty
    (docs/tenants.md), so then the bound is higher.
    """
    ids = {one.request_id for one in streams if one.key == limited and one.begun}
    statement = "SELECT call_id, at_ms, duration_ms, first_token_ms FROM usage WHERE first_token_ms IS NOT NULL"
    held: list[Stream] = []
    started: list[Stream] = []
    for call_id, at, duration, first in site.sql(statement):
        if call_id in ids:
            end = float(at) / 1e3
            begin = end - float(duration) / 1e3
            held.append(Stream(0, limited, begin, begun=begin + float(first) / 1e3, ended=end))
            started.append(Stream(0, limited, begin, begun=begin, ended=end))
    offset = time.time() - time.monotonic()
    alone = next((taken for loss, taken, _, _ in times if loss.shared), math.inf) + offset
    strict = [one for one in held if one.ended < alone]
    report.most_at_once = most_at_once(strict)
    report.most_per_minute = most_within([one for one in started if one.begun < alone], 59.5)
    for what, most, bound in (
        ("calls at once", report.most_at_once, CONCURRENT),
        ("calls in a minute", report.most_per_minute, PER_MINUTE),
        ("calls at once without the shared store", most_at_once(held), 2 * CONCURRENT),
        ("calls in a minute without the shared store", most_within(started, 59.5), 3 * PER_MINUTE),
    ):
        if most > bound:
            report.faults.append(f"{most} {what}, and the limit allows {bound}")
    if report.most_at_once < CONCURRENT // 2:
        report.faults.append(f"the limit was not tried: {report.most_at_once} calls at once")


def table(report: Report, plan: Plan, on: str) -> str:
    head = ["taken away", "open streams", "broken", "could have gone on", "tries refused", "felt for s", "well after s"]
    cells = [
        [
            one.name,
            *map(str, (one.open, one.broken, one.unjust, one.refused)),
            *(number(seconds, 1) for seconds in (one.felt_s, one.well_s)),
        ]
        for one in report.rows
    ]
    about = (
        f"{GATEWAYS} gateways, {ENGINES} simulated engines, Redis, PostgreSQL, {on}; {plan.streams} readers, streams "
        f"of {plan.tokens} tokens, one per {plan.interval_ms:.0f} ms. Each loss lasts {plan.away_s:.0f} s and as long "
        "as a start takes. A refused try is one on a gateway that is not there; the reader tries another. *Felt*: "
        "from the loss to the last stream that broke or was refused. *Well*: from the return until all gateways take "
        "part again and usage is delivered."
    )
    verdict = report.faults or [
        "no stream broke that could have gone on: met",
        f"a limit of {CONCURRENT} calls at once and {PER_MINUTE} a minute over all gateways: at most "
        f"{report.most_at_once} and {report.most_per_minute} while they shared a store: met",
        f"usage: {report.in_usage} calls in the database, each once, {report.whole} whole streams with all tokens: met",
    ]
    return "\n\n".join(
        [machine.describe(), about, markdown([head, *cells]), "\n".join(f"- {line}" for line in verdict)]
    )


def run(network: Network, plan: Plan) -> Report:
    """Raises StartError."""
    folder = Path(tempfile.mkdtemp(prefix="portico-replicas-"))
    folder.chmod(0o755)
    site = Site(network, folder, GATEWAYS, ENGINES, plan.interval_ms)
    try:
        return uvloop.run(measure(site, plan))
    finally:
        site.stop_all()
        shutil.rmtree(folder, ignore_errors=True)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.replicas", description="Take parts of a busy site away.")
    parser.add_argument("--write", action="store_true", help="keep the table in bench/RESULTS.md")
    parser.add_argument("--json", action="store_true", help="the whole report on standard output")
    parser.add_argument("--away", type=float, default=Plan.away_s, metavar="S", help="how long each is away")
    parser.add_argument("--loopback", action="store_true", help="no network namespaces, also where root")
    parser.add_argument("--inside", metavar="PREFIX", help=argparse.SUPPRESS)  # we are on the readers' node
    args = parser.parse_args()
    names = nodes(GATEWAYS, ENGINES)
    able = os.geteuid() == 0 and shutil.which("ip") is not None and not args.loopback
    if able and not args.inside:
        with namespaces(names) as made:
            again = [sys.executable, "-m", "bench.replicas", *sys.argv[1:], "--inside", made.prefix]
            return subprocess.run(made.on("readers", again), cwd=ROOT, check=False).returncode
    network = Namespaces(args.inside, names) if args.inside else Loopback(names)
    plan = Plan(away_s=args.away)
    if postgres_programs() is None:
        print("PostgreSQL is not installed (Debian: apt-get install postgresql)", file=sys.stderr)
        return 1
    try:
        report = run(network, plan)
    except StartError as error:
        print(error, file=sys.stderr)
        return 1
    on = "each in a network namespace" if args.inside else "on loopback addresses"
    text = table(report, plan, on)
    if args.json:
        print(json.dumps(asdict(report)))
    else:
        print(text)
    if args.write:
        write_section(TITLE, f"Made by `python -m bench.replicas --write`.\n\n{text}")
    return 1 if report.faults else 0


if __name__ == "__main__":
    raise SystemExit(main())
