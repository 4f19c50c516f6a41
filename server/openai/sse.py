"""Framing of server-sent events, without IO: bytes in, the payloads of `data:` fields out."""

from __future__ import annotations

MAX_EVENT = 16 * 1024 * 1024  # bytes; an engine that never ends an event must not fill the memory


class SseDecoder:
    """Feed it what a read brought. Comments, `event:`, `id:` and `retry:` fields are dropped."""

    def __init__(self) -> None:
        self._rest = b""

    @property
    def between_events(self) -> bool:
        """Nothing is held: the next bytes begin an event."""
        return not self._rest

    def feed(self, data: bytes) -> list[bytes]:
        """The payloads completed by `data`. Raises ValueError for an event above `MAX_EVENT` bytes."""
        if self._rest:
            data = self._rest + data
        if b"\r" in data:
            data = data.replace(b"\r\n", b"\n")
        *events, self._rest = data.split(b"\n\n")
        if len(self._rest) > MAX_EVENT:
            raise ValueError("an event without end")
        payloads: list[bytes] = []
        for event in events:
            if event.startswith(b"data: ") and b"\n" not in event:
                payloads.append(event[6:])
            elif payload := _fields(event):
                payloads.append(payload)
        return payloads


def _fields(event: bytes) -> bytes:
    """The joined `data:` lines of an event of several lines."""
    lines = (line[5:].removeprefix(b" ") for line in event.split(b"\n") if line.startswith(b"data:"))
    return b"\n".join(lines)
