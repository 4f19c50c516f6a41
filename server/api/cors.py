"""Cross-origin headers of relayed answers; the preflight and all other routes have Starlette's middleware."""

from __future__ import annotations

from collections.abc import Collection

EXPOSED = ("x-request-id", "openai-processing-ms", "retry-after", "retry-after-ms", "x-portico-fallback-from")


class Cors:
    """`origins` as in the configuration: exact origins, or `*` for all."""

    def __init__(self, origins: Collection[str]) -> None:
        self._all = "*" in origins
        self._origins = {origin.encode() for origin in origins}

    def lines(self, origin: bytes | None) -> bytes:
        """Header lines for an answer to a page of `origin`; none if it is not one of ours."""
        if origin is None or not (self._all or origin in self._origins):
            return b""
        allowed = b"*" if self._all else b"%b\r\nvary: Origin" % origin
        return b"access-control-allow-origin: %b\r\naccess-control-expose-headers: %b\r\n" % (
            allowed,
            ", ".join(EXPOSED).encode(),
        )
