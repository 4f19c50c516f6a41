"""Readers that go on whatever happens: each opens one stream after another, on gateways by chance."""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from bench.load import chat_body

CONNECT_S = 2.0
SILENCE_S = 30.0
PAUSE_S = 0.1  # after a refusal
LONGEST_LINE = 1 << 20


@dataclass
class Stream:
    """One try. Times are `time.monotonic()`; `begun` once there is status 200, `ended` in any case."""

    gateway: int
    key: str
    sent: float
    begun: float = 0.0
    ended: float = 0.0
    status: int = 0  # 0: no answer at all
    request_id: str = ""
    chunks: int = 0
    whole: bool = False
    why: str = ""  # it is not whole

    @property
    def broken(self) -> bool:
        return bool(self.begun) and not self.whole

    @property
    def refused(self) -> bool:
        """Not begun for another reason than a limit."""
        return not self.begun and self.status != 429


@dataclass
class Crowd:
    """`hosts` are gateways by address and port; what happened is in `streams`, in the order of their ends."""

    hosts: Sequence[tuple[str, int]]
    model: str
    streams: list[Stream] = field(default_factory=list[Stream])
    stopping: bool = False
    dice: random.Random = field(default_factory=lambda: random.Random(7))
    """By chance and not in turn: turns fall into step with refusals, and one gateway gets all."""

    async def reader(self, key: str, tokens: int, after_s: float) -> None:
        """Streams of so many tokens, one after another, from `after_s` on, until `stopping`."""
        body = chat_body(self.model, tokens, stream=True)
        await asyncio.sleep(after_s)
        while not self.stopping:
            stream = Stream(self.dice.randrange(len(self.hosts)), key, time.monotonic())
            try:
                await self._ask(stream, body)
            except (OSError, ValueError, TimeoutError, asyncio.IncompleteReadError, RuntimeError) as error:
                # RuntimeError: what uvloop says of a connection that was reset before it was written to.
                stream.why = type(error).__name__
            stream.ended = time.monotonic()
            self.streams.append(stream)
            if not stream.begun:
                await asyncio.sleep(PAUSE_S)

    async def _ask(self, stream: Stream, body: bytes) -> None:
        host, port = self.hosts[stream.gateway]
        opening = asyncio.open_connection(host, port, limit=LONGEST_LINE)
        reader, writer = await asyncio.wait_for(opening, CONNECT_S)
        try:
            head = (
                f"POST /v1/chat/completions HTTP/1.1\r\nhost: {host}\r\ncontent-type: application/json\r\n"
                f"authorization: Bearer {stream.key}\r\ncontent-length: {len(body)}\r\nconnection: close\r\n\r\n"
            )
            writer.write(head.encode() + body)
            answer = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), SILENCE_S)
            first, *lines = answer.decode("latin-1").split("\r\n")
            headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
            stream.status = int(first.split(" ")[1])
            stream.request_id = headers.get("x-request-id", "")
            if stream.status != 200:
                stream.why = f"status {stream.status}"
                return
            stream.begun = time.monotonic()
            await self._read(stream, reader)
        finally:
            writer.close()

    async def _read(self, stream: Stream, reader: asyncio.StreamReader) -> None:
        while line := await asyncio.wait_for(reader.readline(), SILENCE_S):
            if line == b"data: [DONE]\n":
                stream.whole = True
            elif line.startswith(b"data: "):
                event = json.loads(line[6:])
                if "error" in event:
                    stream.why = str(event["error"].get("code") or event["error"].get("message"))
                    return
                choices = event.get("choices")
                delta = choices[0]["delta"] if choices else {}
                stream.chunks += bool(delta.get("content") or delta.get("reasoning"))
        if not stream.whole and not stream.why:
            stream.why = "ended early"


def most_at_once(streams: Sequence[Stream]) -> int:
    """How many of these were open at one moment, from status 200 to the end."""
    steps = sorted([(one.begun, 1) for one in streams if one.begun] + [(one.ended, -1) for one in streams if one.begun])
    most = now = 0
    for _, step in steps:
        now += step
        most = max(most, now)
    return most


def most_within(streams: Sequence[Stream], seconds: float) -> int:
    """How many began, at most, within any span of so many seconds."""
    begun = sorted(one.begun for one in streams if one.begun)
    most = first = 0
    for last, at in enumerate(begun):
        while begun[first] <= at - seconds:
            first += 1
        most = max(most, last - first + 1)
    return most
