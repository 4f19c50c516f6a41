"""Whether an input is one that can be run: line by line, with what is wrong with each."""

from __future__ import annotations

from hashlib import blake2b

from server.batches.tools import LineKind
from server.call import Call, Key
from server.errors import GatewayError, InvalidRequest, InvalidValue, StoreUnavailable
from server.openai.batch_request import LINE, BatchLine, validate_line
from server.openai.parse import parse
from server.stores.batches import LineError

MOST_ERRORS = 100  # that are told; the rest of the input is not looked at
FLAT = 1 << 30  # the depth of a line's body is looked at by whoever parses it


class Validation:
    """`check` all lines, then `finish`. Remembers 16 bytes of each line."""

    def __init__(self, endpoint: str, most_lines: int, kind: LineKind, key: Key) -> None:
        self._endpoint = endpoint
        self._most_lines = most_lines
        self._kind = kind
        self._key = key
        self._seen: set[bytes] = set()
        self._models: set[str] = set()
        self.errors: list[LineError] = []
        self.total = 0

    @property
    def hopeless(self) -> bool:
        return len(self.errors) >= MOST_ERRORS or self.total > self._most_lines

    @property
    def model(self) -> str | None:
        """The one that all lines are for."""
        return next(iter(self._models)) if len(self._models) == 1 else None

    async def check(self, number: int, text: bytes | None) -> None:
        """Raises `StoreUnavailable`: what the line goes on from cannot be looked up now."""
        self.total += 1
        try:
            line = line_of(text, self._endpoint)
            self._check_id(line.custom_id)
            call = await call_of(line, self._kind, self._key, "")
        except StoreUnavailable:
            raise
        except GatewayError as error:
            self.errors.append(LineError(error.code or "invalid_request", error.message, error.param, number))
        else:
            self._models.add(call.model.id)

    def finish(self) -> None:
        if self.total > self._most_lines:
            error = LineError(
                "too_many_lines", f"The input has more than {self._most_lines} lines. Make several of it."
            )
            self.errors.insert(0, error)
        elif self.total == 0:
            self.errors.append(LineError("empty_file", "The input has no line."))

    def _check_id(self, custom_id: str) -> None:
        digest = blake2b(custom_id.encode("utf-8", "surrogatepass"), digest_size=16).digest()
        if digest in self._seen:
            error = InvalidValue("'custom_id' was used by an earlier line; each needs its own.", param="custom_id")
            error.code = "duplicate_custom_id"
            raise error
        self._seen.add(digest)


def line_of(text: bytes | None, endpoint: str) -> BatchLine:
    """Raises `GatewayError`."""
    if text is None:
        error = InvalidRequest("The line is larger than the body of a request may be (server.max_body_bytes).")
        error.code = "line_too_long"
        raise error
    try:
        line = parse(LINE, text, FLAT)
    except GatewayError as error:
        error.message = error.message.replace("The body", "The line").replace("the body", "the line")
        raise
    validate_line(line, endpoint)
    return line


async def call_of(line: BatchLine, kind: LineKind, key: Key, request_id: str) -> Call:
    """Raises `GatewayError`, whose `param` is below `body`."""
    try:
        made = kind.new_call(bytes(line.body), key, request_id)
        call = made if isinstance(made, Call) else await made
        if call.stream:
            raise InvalidValue("A line of a batch has one answer: leave 'stream' out.", param="stream")
    except GatewayError as error:
        error.param = None if error.param is None else f"body.{error.param}"
        raise
    return call
