"""How many lines may be in flight beside what people wait for. A pure decider, shared by the batches of a worker."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable

from server.call import Call

Standing = Callable[[str], tuple[int, int]]
"""Of the engines of a model (by id): calls that they have, and that they may have, from this worker."""


class Room:
    """Lines are added up to `share` of what a model's engines take, people's calls counted in, and each batch has its
    part of that. One line of each batch may always go: it waits in the queue like all others, in the class `batch`.
    """

    def __init__(self, most: int, share: float, standing: Standing) -> None:
        self._most = most
        self._share = share
        self._standing = standing
        self._lines: dict[Call, str] = {}  # in flight, and their batches

    def free(self, batch_id: str, model: str, running: int) -> bool:
        """Whether this batch, one of `running`, may start another line."""
        mine = sum(batch == batch_id for batch in self._lines.values())
        if mine == 0:
            return True
        if len(self._lines) >= self._most:
            return False
        have, may = self._standing(model)
        lines = [call for call in self._lines if call.model.id == model]
        others = max(0, have - sum(call.dispatched is not None for call in lines))
        left = int(may * self._share) - others
        return len(lines) < left and mine < max(1, left // running)

    def enter(self, batch_id: str, call: Call) -> None:
        self._lines[call] = batch_id

    def leave(self, call: Call) -> None:
        self._lines.pop(call, None)

    @property
    def in_flight(self) -> int:
        return len(self._lines)


def standing_of(fleet: Iterable[tuple[int, int, bool]]) -> tuple[int, int]:
    """The sums of a fleet, of those engines that are usable: (calls, capacity, usable) of each."""
    sums = Counter[str]()
    for have, may, usable in fleet:
        if usable:
            sums["have"] += have
            sums["may"] += may
    return sums["have"], sums["may"]
