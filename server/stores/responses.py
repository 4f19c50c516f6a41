"""What Portico asks of the store that keeps responses and conversations: records, and verbs of the domain.

Everything belongs to a project: to any other one, an id is not there. Bodies, items and events are JSON as bytes, which
the store keeps and never looks into, but for the `id` of items.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Literal, Protocol

from msgspec import Struct

from server.stores.base import NotAllowed, NotThere

Status = Literal["queued", "in_progress", "completed", "failed", "incomplete", "cancelled"]
OPEN: frozenset[Status] = frozenset(("queued", "in_progress"))
MOST_TURNS = 1000  # links of a chain of responses
MOST_ITEMS = 10_000  # of a conversation


class BrokenChain(NotThere):
    """A response that the chain goes on from was deleted, by its owner or by retention."""

    def __init__(self, missing: str) -> None:
        super().__init__(f"the response {missing}, which an earlier turn goes on from, was deleted")
        self.missing = missing


class ChainTooLong(NotAllowed):
    """It has more than `MOST_TURNS` links."""


class ConversationFull(NotAllowed):
    """It has `MOST_ITEMS` items, or would have more."""


class NoItem(NotThere):
    """The conversation or input is there, and has no item with this id."""

    def __init__(self) -> None:
        super().__init__("there is no item with this id")


class ItemTaken(NotAllowed):
    """The conversation has an item with this id already."""

    def __init__(self, item_id: str) -> None:
        super().__init__("an item of the conversation has this id already")
        self.item_id = item_id


class Item(Struct, frozen=True):
    """`body` is an object of JSON whose `id` is this one."""

    id: str
    body: bytes


class ResponseRecord(Struct, frozen=True):
    """`body` is the Response object as its client got it, in JSON with its output."""

    id: str  # resp_...
    project_id: str
    key_id: str
    created_at: int  # Unix seconds
    status: Status
    model: str
    body: bytes
    background: bool = False
    previous_id: str | None = None
    conversation_id: str | None = None


class ConversationRecord(Struct, frozen=True):
    id: str  # conv_...
    project_id: str
    created_at: int  # Unix seconds
    metadata: dict[str, str]
    items: int = 0  # how many it has


class ResponseStore(Protocol):
    """Stored responses. All methods raise `StoreDown`."""

    async def add_response(self, record: ResponseRecord, input: Sequence[Item], output: Sequence[Item]) -> None:
        """One that has ended: the one write of a response that is not run in the background.

        `input` are the items of this request alone; `output` is what later turns are to see, which may be more than
        `record.body` shows (reasoning that is hidden from clients). Both are appended to its conversation in the same
        transaction, but for those that it has already; a conversation that is gone gets nothing. Again is no harm.
        """
        ...

    async def response(self, project_id: str, response_id: str) -> ResponseRecord:
        """Raises `NotThere`."""
        ...

    async def input_items(
        self,
        project_id: str,
        response_id: str,
        *,
        after: str | None = None,
        limit: int = 20,
        newest_first: bool = True,
    ) -> list[Item]:
        """Of its own request. `after` is the id of the last item seen. Raises `NotThere`, `NoItem` (`after`)."""
        ...

    async def history(self, project_id: str, response_id: str) -> list[Item]:
        """Input and output of the response and of all that it goes on from, in order: the oldest first. One query.

        Raises `NotThere`, `BrokenChain`, `ChainTooLong`, `NotAllowed`: one of them is not finished, or was made in a
        conversation, which is then what has its history.
        """
        ...

    async def delete_response(self, project_id: str, response_id: str) -> None:
        """With its items and events; items of its conversation stay. Raises `NotThere`."""
        ...

    # Responses that run in the background

    async def open_response(self, record: ResponseRecord, input: Sequence[Item], owner: str, lease_s: float) -> None:
        """One that is queued or in progress, and run by `owner` (any name that no other process has).

        An owner that does not `renew_responses` within `lease_s` is taken for dead.
        """
        ...

    async def change_response(
        self, project_id: str, response_id: str, change: Callable[[ResponseRecord], ResponseRecord]
    ) -> ResponseRecord:
        """Keep status and body of what `change` makes of an open response, which nobody else changes then.

        This is how it gets in progress, and how anybody cancels it: its owner learns that from `renew_responses`. One
        that is not open any more is given as it is, and `change` is not called. Raises `NotThere`.
        """
        ...

    async def finish_response(self, record: ResponseRecord, output: Sequence[Item]) -> bool:
        """Keep status, body and output of an open response, as `add_response` does. False, and nothing is kept, where
        it is not open any more: cancelled, deleted, or ended by who took it over.
        """
        ...

    async def renew_responses(self, owner: str, lease_s: float) -> frozenset[str]:
        """The ids of those that are still open and this owner's; for all others it is to stop."""
        ...

    async def take_over(self, owner: str, lease_s: float, limit: int = 100) -> list[ResponseRecord]:
        """Become the owner of open responses whose owner is dead, oldest first. No two owners get the same one."""
        ...

    async def add_events(self, response_id: str, first: int, events: Sequence[bytes]) -> None:
        """Events of its stream, which are numbered from `first` on without gaps. Again is no harm.

        Raises `NotThere` where the response was deleted.
        """
        ...

    async def events(self, project_id: str, response_id: str, *, after: int = -1, limit: int = 1000) -> list[bytes]:
        """Those of numbers above `after` that are stored, in order; the first has the number `after + 1`.

        At most `limit` and those of the last batch. Raises `NotThere`.
        """
        ...


class ConversationStore(Protocol):
    """Conversations and their items. All methods raise `StoreDown`, and `NotThere` for a conversation that is not."""

    async def create_conversation(self, record: ConversationRecord, items: Sequence[Item]) -> None:
        """Raises `ItemTaken` where two of `items` have one id."""
        ...

    async def conversation(self, project_id: str, conversation_id: str) -> ConversationRecord: ...

    async def update_conversation(
        self, project_id: str, conversation_id: str, metadata: dict[str, str]
    ) -> ConversationRecord: ...

    async def delete_conversation(self, project_id: str, conversation_id: str) -> None:
        """With its items; responses that were made in it stay."""
        ...

    async def add_items(self, project_id: str, conversation_id: str, items: Sequence[Item]) -> None:
        """Behind those that are there. Raises `ItemTaken`, `ConversationFull`: nothing is added then."""
        ...

    async def items(
        self,
        project_id: str,
        conversation_id: str,
        *,
        after: str | None = None,
        limit: int = 20,
        newest_first: bool = True,
    ) -> list[Item]:
        """`after` is the id of the last item seen; raises `NoItem` for one that the conversation has not."""
        ...

    async def item(self, project_id: str, conversation_id: str, item_id: str) -> Item:
        """Raises `NoItem`."""
        ...

    async def delete_item(self, project_id: str, conversation_id: str, item_id: str) -> ConversationRecord:
        """Raises `NoItem`."""
        ...

    async def conversation_history(self, project_id: str, conversation_id: str) -> list[Item]:
        """All of them in order, the oldest first. One query."""
        ...


class StateRetention(Protocol):
    """Removing old state, a few records in each step. Of one project, or of all `but` some. Raises `StoreDown`."""

    async def drop_responses(
        self, before: int, limit: int, *, project_id: str | None = None, but: Collection[str] = ()
    ) -> int:
        """Those made before that time (Unix seconds), with their items and events: at most `limit`; how many."""
        ...

    async def drop_conversations(
        self, before: int, limit: int, *, project_id: str | None = None, but: Collection[str] = ()
    ) -> int:
        """Those to which nothing was added since that time, with their items; how many conversations.

        At most `limit` items altogether, or one conversation.
        """
        ...
