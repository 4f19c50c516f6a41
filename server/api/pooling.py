"""How the answers of /v1/embeddings and /v1/rerank reach their clients: bytes of JSON, as they come."""

from __future__ import annotations

from server.api.answer import Answer, Answers
from server.api.inbound import Inbound
from server.call import Call
from server.errors import GatewayError, InvalidValue
from server.gateway import Gateway
from server.openai.events import Batch, Event
from server.openai.pooling_answer import data_of

MOST_OF_A_LINE = 16 * 1024 * 1024  # bytes; it is encoded in one go, while all others wait
JSON = b"content-type: application/json\r\n"


class PooledAnswer(Answer):
    """One piece behind what comes: so the only one, or the last, is known as such. A short answer has its length and
    a real status, whatever happens; one that breaks off in the middle is cut, and its client sees that.
    """

    def __init__(self, call: Call, request: Inbound, more: bytes, stall_s: float) -> None:
        super().__init__(call, request, more, stall_s)
        self._last = b""

    def feed(self, batch: Batch) -> None:
        for event in batch:
            if self._last:
                self._write(self._last)
            self._last = data_of(event)

    def beat(self, now: float) -> None:
        """Nothing can be sent before the status is known."""

    def end(self) -> None:
        if self._call.status:
            self._request.end(self._last)
        else:
            self._call.status = 200
            self._request.answer(200, self._head(self._call.used()), self._last)

    def fail(self, error: GatewayError) -> None:
        if self._call.status:
            self.drop()
        else:
            super().fail(error)

    def _write(self, data: bytes) -> None:
        if self._call.status:
            self._request.write(data)
        else:
            self._call.status = 200
            self._request.stream(self._head(None), data, JSON)


class PooledAnswers(Answers):
    def start(
        self, gateway: Gateway, call: Call, request: Inbound, more: bytes, stall_s: float, grace_s: float
    ) -> None:
        request.attach(gateway.start(call, PooledAnswer(call, request, more, stall_s)))


class PooledCollector:
    """Of the answer to a line of a batch, which is kept as a whole."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._size = 0

    def feed(self, event: Event) -> None:
        """Raises `InvalidValue` for too much."""
        data = data_of(event)
        self._size += len(data)
        if self._size > MOST_OF_A_LINE:
            raise InvalidValue(
                f"The answer to a line has at most {MOST_OF_A_LINE} bytes. Ask for base64, or put fewer inputs in one.",
                param="input",
            )
        self._parts.append(data)

    def body(self) -> bytes | None:
        return b"".join(self._parts) or None
