"""What running a batch takes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from server.batches.answer import Ended, LineAnswer
from server.batches.outputs import Outputs
from server.batches.room import Room
from server.call import Call, Key
from server.config import Batches as Settings
from server.stores.batches import BatchStore
from server.stores.files import Contents, FileStore


class Flow(Protocol):
    """A call on its way (`gateway.Trip`)."""

    def leave(self) -> None:
        """Its answer is not wanted any more; nothing more is heard of it."""
        ...


class LineKind(NamedTuple):
    """What the lines for an endpoint become. `new_call(body, key, request_id)` raises `GatewayError`; where something
    has to be looked up first it is to be awaited.
    """

    name: str  # as keys name the endpoint
    new_call: Callable[[bytes, Key, str], Call | Awaitable[Call]]
    answer: Callable[[Call, Ended], LineAnswer]


class Store(BatchStore, FileStore, Protocol):
    """Both."""


class Counted(Protocol):
    """Hears what becomes of lines, and how many batches run here."""

    def line(self, outcome: str) -> None: ...

    def running(self, batches: int) -> None: ...


@dataclass(frozen=True)
class Pace:
    """All in seconds."""

    look: float = 1.0  # between two questions whether there is a batch to run
    lease: float = 10.0  # a process that is gone has its batches for so long
    beat: float = 1.0  # between two notes of how far a batch is
    check: float = 5.0  # between two looks at its key
    turn: float = 300.0  # a batch keeps its place for so long while others may wait for one
    stuck: float = 30.0  # or for so long, if nothing of it can run
    room: float = 0.05  # between two looks for room, where there was none


DEFAULT_PACE = Pace()


@dataclass(frozen=True)
class Tools:
    """`owner` gives the key with an id, or raises `InvalidApiKey` or `StoreUnavailable`. `clock`: Unix seconds."""

    store: Store
    contents: Contents
    outputs: Callable[[str], Outputs]  # of the batch with that id
    kinds: Mapping[str, LineKind]  # by path
    owner: Callable[[str], Awaitable[Key]]
    start: Callable[[Call, LineAnswer], Flow]
    new_id: Callable[[], str]  # of a request
    room: Room
    counted: Counted
    settings: Settings
    longest_line: int  # bytes
    output_days: int | None
    clock: Callable[[], float]
    pace: Pace = DEFAULT_PACE
