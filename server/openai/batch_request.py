"""What comes for batches: the request that makes one, and a line of its input."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from server.errors import InvalidValue, UnsupportedValue
from server.openai.chat_request import Metadata, Strict
from server.openai.expiry import expires_s

WINDOW, WINDOW_S = "24h", 86_400
METHOD = "POST"
Text = Annotated[str, Meta(min_length=1, max_length=512)]


class ExpiresAfter(Strict):
    anchor: str
    seconds: int


class BatchRequest(Strict):
    input_file_id: Text
    endpoint: str
    completion_window: str
    metadata: Metadata | None = None
    output_expires_after: ExpiresAfter | None = None


class BatchLine(Strict):
    """One request. `body` is read by whatever reads that of `url`."""

    custom_id: Text
    method: str
    url: str
    body: msgspec.Raw


BATCH = msgspec.json.Decoder(BatchRequest)
LINE = msgspec.json.Decoder(BatchLine)


def validate_batch(request: BatchRequest, endpoints: list[str]) -> int | None:
    """For how many seconds its outputs are kept, if it says so. Raises `InvalidRequest`."""
    if request.endpoint not in endpoints:
        raise UnsupportedValue(f"Invalid 'endpoint'. Supported values: {', '.join(endpoints)}.", param="endpoint")
    if request.completion_window != WINDOW:
        raise UnsupportedValue(f"Invalid 'completion_window'. Supported values: {WINDOW}.", param="completion_window")
    expiry = request.output_expires_after
    return None if expiry is None else expires_s(expiry.anchor, expiry.seconds, "output_expires_after")


def validate_line(line: BatchLine, endpoint: str) -> None:
    """Raises `InvalidValue`."""
    if line.method != METHOD:
        raise InvalidValue(f"'method' must be {METHOD}.", param="method")
    if line.url != endpoint:
        raise InvalidValue(f"'url' must be the endpoint of the batch, {endpoint}.", param="url")
