"""`python -m bench.responses`: how much later than a chat's does a response's first token come, and how much longer is
the whole answer?

One client, one stream after another, each kind in turns, so that all suffer the same from whoever else uses the
machine. The engine is the simulated one, and Portico has its usual SQLite.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import msgspec
import uvloop

from bench import machine
from bench.answers import Stream
from bench.client import Client, Fault, Target
from bench.environments import say
from bench.load import chat_body, percentile
from bench.measure import wait_ready
from bench.peers import KEY, MODEL, start_engine, start_portico_source
from bench.results import RESULTS, write_section
from bench.table import markdown, number

TITLE = "The first token of a response"
CHUNKS, INTERVAL_MS = 20, 2.0
BAR_MS = 1.0
CHAT, PASSED_ON, STORED, GONE_ON = (
    "chat completion",
    "response, not stored",
    "response, stored",
    "stored, goes on from another",
)
TEXT = chat_body(MODEL, 1000, stream=False).decode()


class _Response(msgspec.Struct):
    id: str = ""
    status: str = ""


class _Event(msgspec.Struct):
    type: str = ""
    response: _Response | None = None


_decode = msgspec.json.Decoder(_Event).decode


class Events:
    """The stream of a response: when its first delta came, when it ended, and its id."""

    def __init__(self) -> None:
        self._rest = b""
        self._last = _Event()
        self.times: list[float] = []
        self.ended = 0.0

    def feed(self, data: bytes, now: float) -> None:
        *events, self._rest = (self._rest + data).split(b"\n\n")
        for event in events:
            _, _, body = event.partition(b"data: ")
            self._last = _decode(body) if body else self._last
            if self._last.type.endswith(".delta"):
                self.times.append(now)
        self.ended = now

    def finish(self) -> None:
        if self._last.type != "response.completed" or not self.times:
            raise Fault(f"a response that ends with {self._last.type or 'nothing'}")

    @property
    def id(self) -> str:
        return self._last.response.id if self._last.response is not None else ""


Reply = TypeVar("Reply", Stream, Events)


@dataclass
class Line:
    """Milliseconds."""

    first: list[float] = field(default_factory=list[float])
    whole: list[float] = field(default_factory=list[float])


def response_body(*, store: bool, previous: str | None = None) -> bytes:
    """As long as the chat's."""
    body: dict[str, object] = {"model": MODEL, "input": TEXT[:500], "stream": True, "store": store, "temperature": 0.7}
    return msgspec.json.encode(body if previous is None else {**body, "previous_response_id": previous})


async def measured(base: str, rounds: int) -> dict[str, Line]:
    chats, responses = Client(Target(base, KEY)), Client(Target(base, KEY, "/v1/responses"))
    chat, responded = Target(base, KEY), Target(base, KEY, "/v1/responses")
    lines = {name: Line() for name in (CHAT, PASSED_ON, STORED, GONE_ON)}
    dice = random.Random(1)

    async def ask(name: str, client: Client, payload: bytes, reader: Reply) -> Reply:
        sent = await client.ask(payload, reader)
        lines[name].first.append((reader.times[0] - sent) * 1e3)
        lines[name].whole.append((reader.ended - sent) * 1e3)
        return reader

    async def respond(name: str, *, store: bool, previous: str | None = None) -> str:
        body = response_body(store=store, previous=previous)
        return (await ask(name, responses, responded.request(body), Events())).id

    first = await respond(STORED, store=True)
    kinds: list[Callable[[], Awaitable[object]]] = [
        lambda: ask(CHAT, chats, chat.request(chat_body(MODEL, 1000, stream=True)), Stream()),
        lambda: respond(PASSED_ON, store=False),
        lambda: respond(STORED, store=True),
        lambda: respond(GONE_ON, store=True, previous=first),
    ]
    for turn in range(rounds):
        if turn == rounds // 10:  # all is warm
            lines = {name: Line() for name in lines}
        for kind in dice.sample(kinds, len(kinds)):  # none is always behind the same other one
            await kind()
    chats.close()
    responses.close()
    return lines


def report(lines: dict[str, Line]) -> str:
    cells = [["", "first token p50 ms", "p99 ms", "whole p50 ms", "p99 ms"]]
    for name, line in lines.items():
        figures = (percentile(part, percent) for part in (line.first, line.whole) for percent in (50, 99))
        cells.append([name, *(number(figure, 2) for figure in figures)])
    floor = percentile(lines[CHAT].first, 50)
    verdicts: list[str] = []
    for name in (PASSED_ON, STORED, GONE_ON):
        later = percentile(lines[name].first, 50) - floor
        said = "met" if later <= BAR_MS else "MISSED"
        verdicts.append(f"- first token, p50, {name}: {number(later, 2)} ms after a chat's (bar {BAR_MS:g}): {said}")
    return f"{markdown(cells)}\n\n" + "\n".join(verdicts)


def run(rounds: int, start: Callable[[ExitStack, Path], str]) -> dict[str, Line]:
    with tempfile.TemporaryDirectory(prefix="portico-responses-") as scratch, ExitStack() as stack:
        return uvloop.run(measured(start(stack, Path(scratch)), rounds))


def before_the_simulated_engine(stack: ExitStack, folder: Path) -> str:
    engine = start_engine(folder, CHUNKS, INTERVAL_MS)
    stack.callback(engine.process.stop)
    uvloop.run(wait_ready(engine))
    portico = start_portico_source(int(engine.base.rpartition(":")[2]), folder)
    stack.callback(portico.process.stop)
    uvloop.run(wait_ready(portico))
    return portico.base


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.responses", description="What a response costs in time.")
    parser.add_argument("--write", action="store_true", help=f"keep the table in bench/{RESULTS.name}")
    parser.add_argument("--rounds", type=int, default=300, help="requests of each kind")
    args = parser.parse_args()
    where = machine.describe()
    lines = run(args.rounds, before_the_simulated_engine)
    text = (
        f"{where}\n\nEngine: simulated, {CHUNKS} chunks, one each {INTERVAL_MS:g} ms. One client; {args.rounds} "
        "streams of each kind, in turns. The last kind goes on from a response of one turn, looked up in SQLite.\n\n"
        f"{report(lines)}"
    )
    print(text)
    if args.write:
        write_section(TITLE, f"Made by `python -m bench.responses --write`.\n\n{text}")
        say(f"written to {RESULTS}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
