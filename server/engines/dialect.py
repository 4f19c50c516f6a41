"""How an engine is spoken to, chosen once for each: vLLM's own way, which costs nothing, or that of another make."""

from __future__ import annotations

from time import time
from typing import Any, Protocol

import msgspec

from server.call import Call
from server.config import Engine as EngineConfig
from server.engines.makes.answer import MendedAnswer
from server.engines.makes.make import Make
from server.engines.makes.reader import MendingReader
from server.engines.makes.request import adapt
from server.engines.makes.table import MAKES, VLLM
from server.engines.pooling import pooling_reader, pooling_request
from server.engines.requests import ends_early, engine_request
from server.openai.events import Batch
from server.openai.reader import EngineAnswerError, StreamReader, View, read_whole

_DECODE = msgspec.json.Decoder(dict[str, Any]).decode
_ENCODE = msgspec.json.Encoder().encode


class Reader(Protocol):
    """Of one answer that is read as it comes."""

    done: bool
    """The answer is complete."""
    failure: EngineAnswerError | None
    """What followed the events that `feed` returned last: they are still good."""

    def feed(self, data: bytes) -> Batch:
        """Events completed by `data`. Raises `EngineAnswerError`."""
        ...

    def end(self) -> Batch | None:
        """The body ends here, though not `done`: the last events, or None if that is too early."""
        ...


class Dialect(Protocol):
    make: Make

    def request(self, call: Call, *, streams: bool) -> bytes: ...

    def reader(self, call: Call, view: View) -> Reader: ...

    def whole(self, call: Call, view: View, body: bytes) -> Batch:
        """The events of an answer in one piece. Raises `EngineAnswerError`."""
        ...


class VllmDialect:
    """`owned`: it takes what only the gateway may set (`engines.*.vllm`)."""

    make = VLLM

    def __init__(self, *, owned: bool) -> None:
        self._owned = owned

    def request(self, call: Call, *, streams: bool) -> bytes:
        if not call.generates:
            return pooling_request(call, VLLM, vllm=self._owned)
        return engine_request(call, streams=streams, vllm=self._owned)

    def reader(self, call: Call, view: View) -> Reader:
        return StreamReader(view) if call.generates else pooling_reader(call, vllm=True)

    def whole(self, call: Call, view: View, body: bytes) -> Batch:
        return read_whole(view, body)


class MakeDialect:
    """Of an engine that is not vLLM."""

    def __init__(self, make: Make) -> None:
        self.make = make

    def request(self, call: Call, *, streams: bool) -> bytes:
        if not call.generates:
            return pooling_request(call, self.make)
        return _ENCODE(adapt(_DECODE(engine_request(call, streams=streams)), self.make))

    def reader(self, call: Call, view: View) -> Reader:
        if not call.generates:
            return pooling_reader(call, vllm=False)
        return MendingReader(self._answer(call, view, running=ends_early(call)))

    def whole(self, call: Call, view: View, body: bytes) -> Batch:
        return self._answer(call, view, running=False).whole(body)

    def _answer(self, call: Call, view: View, *, running: bool) -> MendedAnswer:
        return MendedAnswer(self.make, view, call, int(time()), running=running)


def dialect_of(config: EngineConfig) -> Dialect:
    make = MAKES[config.make]
    if make is not VLLM:
        return MakeDialect(make)
    managed = config.managed is not None
    return VllmDialect(owned=managed if config.vllm is None else config.vllm)
