"""The protocol for clients that send one request like the other, as SDKs do: their head is parsed once."""

from __future__ import annotations

from typing import Any, NamedTuple

from server.api.http import Headers, Lines
from server.api.inbound import Handler, Inbound
from server.api.protocol import HttpSettings, Protocol
from server.known_head import KnownHead
from server.outbox import Outbox

MOST_TRIES = 8  # heads in a row that were not like the one before: this client's never are


class Known(NamedTuple):
    """What a head led to."""

    head: KnownHead
    handler: Handler
    headers: Headers


def protocol_class(settings: HttpSettings) -> type[Protocol]:
    """The protocol for `uvicorn.Config(http=...)`."""
    by_path = {path.encode(): handler for path, handler in settings.handlers.items()}

    class Bound(Repeating):
        http = settings
        relays = by_path
        outbox = Outbox()
        defaults = Lines()

    return Bound


class Repeating(Protocol):
    """A whole request that comes in one read, while no other is open, to a relay path; all else is `Protocol`'s."""

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self._known: Known | None = None
        self._tries = 0

    def data_received(self, data: bytes) -> None:
        if self._tries > MOST_TRIES or not self._between():
            super().data_received(data)
            return
        known = self._known
        body = None if known is None else known.head.body(data)
        if known is not None and body is not None:
            self._tries = 0
            self._again(known, body)
            return
        before = self.cycle
        super().data_received(data)
        request = self.cycle
        if request is not before and isinstance(request, Inbound):
            self._tries += 1
            self._learn(request, data)

    def _between(self) -> bool:
        """The parser is at the beginning of a message, and nothing is open."""
        latest = self.cycle
        if latest is None:
            return self._since == 0 and not self._deaf
        idle = latest.response_complete and not latest.more_body and latest is self._active
        return idle and not (self._in_head or self._deaf or self.leaving or self.flow.write_paused)

    def _learn(self, request: Inbound, data: bytes) -> None:
        plain = request.keep_alive and request.method == b"POST" and not self.expect_100_continue
        if plain and not request.more_body and not self.pipeline and not self._deaf:
            head = KnownHead.of(data)
            self._known = None if head is None else Known(head, request.handler, request.headers)

    def _again(self, known: Known, body: bytes) -> None:
        self._deadline.drop()
        self.cycle = request = Inbound(
            known.handler,
            self.transport,
            self.outbox,
            b"POST",
            {**known.headers, b"content-length": b"%d" % len(body)},
            self.defaults.of(self.server_state.default_headers),
            self.on_response_complete,
            chunked=True,
            keep_alive=True,
            expects_100=False,
        )
        request.data(body)
        request.complete()
        self._start(request)
        if self.flow.write_paused:
            self._after_read()
