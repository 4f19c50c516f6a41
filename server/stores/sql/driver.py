"""asyncpg, which has no types of its own: the little of it that is spoken to directly."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, cast

import asyncpg  # pyright: ignore[reportMissingTypeStubs]


class Connection(Protocol):
    async def execute(self, query: str) -> str: ...
    async def add_listener(self, channel: str, callback: Callable[[object, int, str, object], None]) -> None: ...
    def add_termination_listener(self, callback: Callable[[object], None]) -> None: ...
    def terminate(self) -> None: ...


async def connect(dsn: str, timeout_s: float) -> Connection:
    """asyncpg reads the URL itself, so all that its users know from libpq (sslmode, several hosts, ...) holds.

    Raises what asyncpg does. `timeout_s` is for connecting, and for each command.
    """
    connection = await asyncpg.connect(  # pyright: ignore
        dsn,
        timeout=timeout_s,  # pyright: ignore[reportArgumentType]
        command_timeout=timeout_s,
        server_settings={
            "application_name": "portico",
            # Should this process stop in the middle of a change, its locks do not stop the others for long.
            "idle_in_transaction_session_timeout": str(int(6 * timeout_s * 1000)),
        },
    )
    return cast("Connection", connection)
