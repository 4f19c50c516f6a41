"""What a response does next whose tools the gateway runs: which calls are made, and what the engine is asked. Pure.

A round is one call of the engine. It ends with an answer, with calls for the client to make or to approve, or with
calls that are made here and lead to the next round.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import msgspec
from msgspec.structs import replace

from server.openai.chat_request import ToolMessage
from server.responses.conversation import Conversation
from server.responses.hosted import Outcome, execution_error, told_to_model
from server.responses.items import item_of
from server.responses.output import Called, Output
from server.responses.request import ResponsesRequest
from server.responses.seal import Sealer
from server.responses.translate import Asked, TranslatedResponse

MOST_CALLS = 128  # for one response
TOO_MANY = Outcome(None, execution_error("No more calls of tools may be made for this response."))
CLIENTS = frozenset(("function_call", "custom_tool_call", "mcp_approval_request"))
"""Kinds of items with which it is the client's turn."""
_encode = msgspec.json.encode


class Plan(NamedTuple):
    """Calls that are to be made and those that are too many; and whether the engine is to be asked again then."""

    make: Sequence[Called]
    refuse: Sequence[Called]
    goes_on: bool


class Rounds:
    """`most_rounds` of the engine. `asked` and `chat` are of the first."""

    def __init__(
        self, chat: TranslatedResponse, asked: Asked, sealer: Sealer, project_id: str, most_rounds: int
    ) -> None:
        request = asked.request
        self._chat = chat
        self._asked = asked
        self._sealer = sealer
        self._project_id = project_id
        self._rounds_left = most_rounds - 1
        asked_for = request.max_tool_calls if isinstance(request, ResponsesRequest) else None
        self._calls_left = min(asked_for or MOST_CALLS, MOST_CALLS)
        self._begin = 0  # of the round's items among all

    def approved(self, output: Output) -> Plan:
        """The calls that the client has approved, before the first round. They are in `output.called` then."""
        for one in self._asked.approved:
            output.call_approved(one.request_id, one.named, one.arguments)
        plan = self._plan(output.called, goes_on=True)
        self._begin = len(output.items)
        return plan

    def told(self, called: Sequence[Called], outcomes: Mapping[str, Outcome]) -> None:
        """The first round hears what came of approved calls."""
        by_request = {one.item["approval_request_id"]: outcomes[one.item["id"]] for one in called}
        for one in self._asked.approved:
            one.message.content = told_to_model(*by_request[one.request_id])

    def ended(self, output: Output) -> Plan:
        """A round has ended. One that was cut short leads to nothing, and in the last one no tools were offered."""
        if output.round_ended() is not None:
            output.abandon()
        if not self._rounds_left:
            return Plan((), output.called, goes_on=False)
        turn = any(one["type"] in CLIENTS for one in output.kept[self._begin :])
        goes_on = bool(output.called) and not turn
        return self._plan(output.called, goes_on=goes_on)

    def following(self, output: Output, outcomes: Mapping[str, Outcome]) -> TranslatedResponse | None:
        """What the engine is asked next; None if as many tokens as the client allows have been used."""
        request, asked = self._asked.request, self._asked
        most = request.max_output_tokens if isinstance(request, ResponsesRequest) else None
        left = None if most is None else most - output.used().completion
        if left is not None and left <= 0:
            return None
        talk = Conversation(self._sealer, self._project_id)
        told_of = {one.index: output.kept_of(one, outcomes[one.item["id"]]) for one in output.called}
        for index, item in enumerate(output.kept[self._begin :], self._begin):
            told = told_of.get(index, item)
            talk.add(item_of(_encode(told), f"output[{index}]"), f"output[{index}]")
        talk.end()
        self._begin = len(output.kept)
        self._rounds_left -= 1
        chat = self._chat = replace(
            self._chat,
            messages=[*self._chat.messages, *talk.messages],
            tool_choice=None,
            max_completion_tokens=left,
            asked=None,
        )
        if not self._rounds_left or not self._calls_left:
            names = asked.tools.names
            chat.tools = [one for one in chat.tools or () if not names[one.function.name].server] or None
        self._asked = replace(asked, origins=[*asked.origins, *talk.origins])
        return chat

    @property
    def asked(self) -> Asked:
        """Of the round that follows."""
        return self._asked

    def shown(self, called: Called, outcome: Outcome) -> Outcome:
        """What came of a call as policies have left it for the model."""
        told = told_to_model(*outcome)
        key = called.item.get("approval_request_id") or called.item["id"]
        left = next((one.content for one in self._chat.messages if _is_of(one, key)), told)
        if left == told or not isinstance(left, str):
            return outcome
        return Outcome(left) if outcome.error is None else Outcome(None, execution_error(left))

    def _plan(self, called: Sequence[Called], *, goes_on: bool) -> Plan:
        most = min(len(called), self._calls_left)
        self._calls_left -= most
        return Plan(called[:most], called[most:], goes_on)


def _is_of(message: Any, call_id: str) -> bool:
    return isinstance(message, ToolMessage) and message.tool_call_id == call_id
