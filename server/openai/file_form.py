"""The body of an upload, multipart/form-data, as it comes: fields are kept, the content of the file is passed on."""

from __future__ import annotations

import re
from typing import Literal, NamedTuple, get_args

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from server.errors import (
    BodyTooLarge,
    InvalidRequest,
    InvalidValue,
    MissingParameter,
    UnknownParameter,
    UnsupportedMediaType,
    UnsupportedValue,
)
from server.openai.expiry import expires_s

Purpose = Literal["batch", "user_data"]
PURPOSES: tuple[Purpose, ...] = get_args(Purpose)
FIELDS = ("purpose", "expires_after[anchor]", "expires_after[seconds]")
MAX_FIELD = 256  # bytes of a field that is not the file
MAX_NAME = 255  # characters of a file's name
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


class NewFile(NamedTuple):
    """What the fields say. `expires_after_s` is counted from now."""

    purpose: Purpose
    filename: str
    expires_after_s: int | None


class FileForm:
    """`feed` it the body, then `finish`. All methods raise `InvalidRequest`."""

    def __init__(self, content_type: bytes, max_bytes: int) -> None:
        kind, options = parse_options_header(content_type)
        boundary = options.get(b"boundary")
        if kind != b"multipart/form-data" or not boundary:
            raise UnsupportedMediaType("Send the file as multipart/form-data, with the fields 'file' and 'purpose'.")
        self._max_bytes = max_bytes
        self._fields: dict[str, bytes] = {}
        self._filename: str | None = None
        self._part: str | None = None  # that is being read; None: the file
        self._header = (b"", b"")
        self._disposition = b""
        self._content: list[bytes] = []
        self._ended = False
        self.size = 0
        try:
            self._parser = MultipartParser(
                boundary,
                {
                    "on_part_begin": self._on_part_begin,
                    "on_header_field": self._on_header_name,
                    "on_header_value": self._on_header_value,
                    "on_header_end": self._on_header_end,
                    "on_headers_finished": self._on_headers,
                    "on_part_data": self._on_data,
                    "on_end": self._on_end,
                },
            )
        except FormParserError:
            raise _not_a_form() from None

    def feed(self, data: bytes) -> bytes:
        """What of `data` belongs to the file."""
        try:
            self._parser.write(data)
        except FormParserError:
            raise _not_a_form() from None
        content, self._content = self._content, []
        return content[0] if len(content) == 1 else b"".join(content)

    def finish(self) -> NewFile:
        """Once all has come."""
        if not self._ended:
            raise _not_a_form()
        if self._filename is None:
            raise MissingParameter("Missing required parameter: 'file'.", param="file")
        return NewFile(self._purpose(), self._filename, self._expires_after())

    def _purpose(self) -> Purpose:
        given = self._fields.get("purpose")
        if given is None:
            raise MissingParameter("Missing required parameter: 'purpose'.", param="purpose")
        for one in PURPOSES:
            if given == one.encode():
                return one
        raise UnsupportedValue(f"Invalid 'purpose'. Supported values: {', '.join(PURPOSES)}.", param="purpose")

    def _expires_after(self) -> int | None:
        anchor, seconds = (self._fields.get(name) for name in FIELDS[1:])
        if anchor is None and seconds is None:
            return None
        if seconds is None or not re.fullmatch(rb"\d{1,9}", seconds):
            raise InvalidValue("'expires_after[seconds]' must be a whole number.", param="expires_after[seconds]")
        return expires_s((anchor or b"").decode("utf-8", "replace"), int(seconds), "expires_after")

    # What the parser calls

    def _on_part_begin(self) -> None:
        self._disposition = b""

    def _on_header_name(self, data: bytes, start: int, end: int) -> None:
        self._header = (self._header[0] + data[start:end], self._header[1])

    def _on_header_value(self, data: bytes, start: int, end: int) -> None:
        self._header = (self._header[0], self._header[1] + data[start:end])

    def _on_header_end(self) -> None:
        name, value = self._header
        if name.lower() == b"content-disposition":
            self._disposition = value
        self._header = (b"", b"")

    def _on_headers(self) -> None:
        _, options = parse_options_header(self._disposition)
        name = options.get(b"name", b"").decode("utf-8", "replace")
        if name == "file":
            if self._filename is not None:
                raise InvalidRequest("Send one file at a time.", param="file")
            self._part = None
            said = options.get(b"filename", b"").decode("utf-8", "replace")
            self._filename = _CONTROL.sub("", said)[:MAX_NAME] or "file"
        elif name not in FIELDS:
            raise UnknownParameter(f"Unknown field of the form. Fields: file, {', '.join(FIELDS)}.")
        else:
            self._part = name
            self._fields[name] = b""

    def _on_data(self, data: bytes, start: int, end: int) -> None:
        if self._part is None:
            self.size += end - start
            if self.size > self._max_bytes:
                raise file_too_large(self._max_bytes)
            self._content.append(data[start:end])
            return
        self._fields[self._part] += data[start:end]
        if len(self._fields[self._part]) > MAX_FIELD:
            raise InvalidValue(f"The field '{self._part}' is too long.", param=self._part)

    def _on_end(self) -> None:
        self._ended = True


def file_too_large(max_bytes: int) -> BodyTooLarge:
    return BodyTooLarge(f"The file is larger than {max_bytes} bytes. Send its content in several files.", param="file")


def _not_a_form() -> InvalidRequest:
    return InvalidRequest(
        "The body is not a complete multipart/form-data form. Send 'file' and 'purpose' as its fields."
    )
