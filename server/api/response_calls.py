"""From the body of a request for a response to a `Call`: with what it goes on from, shortened where that is asked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import msgspec

from server.api.calls import CallFactory
from server.api.relay import Made
from server.call import Call, Key
from server.errors import ContextLengthExceeded, InvalidValue
from server.openai.shorten import droppable
from server.responses.hosted import NO_OFFERS, Offers
from server.responses.request import CompactRequest, Prompted, ResponsesRequest
from server.responses.translate import NO_PAST, Asked
from server.state.beside import Beside
from server.state.past import PastFinder, goes_on
from server.toolbox.toolbox import Toolbox

ANSWER_PART = 8
"""Where a request names no `max_output_tokens`, one part in so many of the context is left for its answer."""
_encode = msgspec.json.encode


class Counter(Protocol):
    """See tokens/counter.py."""

    def upper_bound(self, call: Call) -> int: ...

    async def to_drop(self, call: Call, groups: Sequence[Sequence[int]], most: int) -> int: ...


class ResponseCalls:
    """`new` and `compact` are as `api.relay.NewCall`; `make` and `line` are for whoever can wait."""

    def __init__(
        self,
        factory: CallFactory,
        past: PastFinder,
        toolbox: Toolbox | None,
        counter: Counter,
        beside: Beside,
        max_bytes: int,
    ) -> None:
        self._factory = factory
        self._past = past
        self._toolbox = toolbox
        self._counter = counter
        self._beside = beside
        self._max_bytes = max_bytes

    def new(self, body: bytes, key: Key, request_id: str, made: Made) -> Call | None:
        return self._begin(self._factory.asked_response(body, key), len(body), key, request_id, made)

    def compact(self, body: bytes, key: Key, request_id: str, made: Made) -> Call | None:
        return self._begin(self._factory.asked_compaction(body, key), len(body), key, request_id, made)

    async def line(self, body: bytes, key: Key, request_id: str) -> Call:
        """Of a batch. Raises `GatewayError`."""
        asked = self._factory.asked_response(body, key)
        _check_line(asked)
        return await self._made(asked, len(body), key, request_id, NO_OFFERS)

    async def make(self, asked: Prompted, size: int, key: Key, request_id: str) -> Call:
        """`size` of the body, bytes. Raises `GatewayError`."""
        toolbox = self._toolbox_for(asked)
        offers = NO_OFFERS if toolbox is None else await toolbox.look(key.project.id, asked.tools)
        return await self._made(asked, size, key, request_id, offers)

    async def _made(self, asked: Prompted, size: int, key: Key, request_id: str, offers: Offers) -> Call:
        past = await self._past.look(key.project.id, asked)
        call = self._factory.response(asked, past, size, key, request_id, offers)
        if not self._fits(call):
            await self._shortened(call)
        if past.items and call.size > self._max_bytes:
            raise ContextLengthExceeded(
                f"The conversation has become larger than {self._max_bytes} bytes. Begin a new one, or compact it.",
                param=past.where,
            )
        return call

    def _begin(self, asked: Prompted, size: int, key: Key, request_id: str, made: Made) -> Call | None:
        toolbox = self._toolbox_for(asked)
        offers = NO_OFFERS if toolbox is None else toolbox.known(key.project.id, asked.tools)
        if offers is None or goes_on(asked):
            self._beside.do(self.make(asked, size, key, request_id), made)
            return None
        call = self._factory.response(asked, NO_PAST, size, key, request_id, offers)
        if self._fits(call):
            return call
        self._beside.do(self._shortened(call), made)
        return None

    def _toolbox_for(self, asked: Prompted) -> Toolbox | None:
        """None where no tools are run."""
        return None if isinstance(asked, CompactRequest) else self._toolbox

    def _fits(self, call: Call) -> bool:
        """Whether nothing is to be left out: for that nothing is counted where the bound says enough."""
        asked: Asked = call.body.asked
        return asked.request.truncation != "auto" or self._counter.upper_bound(call) <= _room(call)

    async def _shortened(self, call: Call) -> Call:
        groups = droppable(call.body.messages)
        drop_messages(call, groups[: await self._counter.to_drop(call, groups, _room(call))])
        return call


def _room(call: Call) -> int:
    """Tokens that its prompt may have."""
    context = call.model.config.context_length
    return context - (call.body.max_completion_tokens or context // ANSWER_PART)


def drop_messages(call: Call, groups: Sequence[Sequence[int]]) -> None:
    """Leave these of its messages out."""
    asked: Asked = call.body.asked
    gone = {at for group in groups for at in group}
    messages = call.body.messages
    call.size -= sum(len(_encode(messages[at])) for at in gone)
    call.body.messages = [one for at, one in enumerate(messages) if at not in gone]
    asked.origins = [one for at, one in enumerate(asked.origins) if at not in gone]


def _check_line(asked: ResponsesRequest) -> None:
    """Raises `InvalidValue` for what a line of a batch cannot ask."""
    if asked.background:
        raise InvalidValue("A line of a batch runs in the background anyway: leave it out.", param="background")
    if asked.conversation is not None:
        raise InvalidValue(
            "Lines of a batch are answered in any order, so they cannot add to a conversation: use "
            "'previous_response_id', or put the items in the input.",
            param="conversation",
        )
