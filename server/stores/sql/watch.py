"""Telling when the directory was changed: at once by this process, soon by another one."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

import aiosqlite

from server.stores.base import StoreDown, StoreError
from server.stores.sql.change import CHANNEL, Part
from server.stores.sql.driver import connect
from server.stores.sql.errors import translated

POLL_S = 0.5
ALIVE_S = 15.0  # a connection that hears nothing for so long is asked whether it is still there
LONGEST_WAIT_S = 10.0
log = logging.getLogger("portico")
_LAST_CHANGE = "SELECT seq FROM chains WHERE name = 'audit'"


class Watch(Part):
    """See `stores.base.Directory.watch`."""

    async def watch(self, changed: Callable[[], None]) -> None:
        self._watchers.add(changed)
        wait_s = POLL_S

        def listening() -> None:
            nonlocal wait_s
            wait_s = POLL_S
            changed()

        try:
            while True:
                try:
                    await (self._poll if self._database.is_sqlite else self._listen)(listening)
                except StoreError as error:
                    log.warning("changes of keys are not heard of for now: %s", error)
                await asyncio.sleep(wait_s)
                wait_s = min(2 * wait_s, LONGEST_WAIT_S)
        finally:
            self._watchers.discard(changed)

    async def _poll(self, changed: Callable[[], None]) -> None:
        """SQLite tells a connection whether others wrote. Most writes are usage; changes move the end of the audit log.

        Until an error: raises `StoreDown`.
        """
        with translated(self._database.name):
            async with aiosqlite.connect(self._database.place.file or "", isolation_level=None) as connection:
                version, seq = -1, -1
                while True:
                    async with asyncio.timeout(self._database.timeout_s):
                        before, version = version, await _number(connection, "PRAGMA data_version")
                        if version != before:
                            last, seq = seq, await _number(connection, _LAST_CHANGE)
                            if seq != last:
                                changed()
                    await asyncio.sleep(POLL_S)

    async def _listen(self, changed: Callable[[], None]) -> None:
        """Until the connection is lost: raises `StoreDown`."""
        with translated(self._database.name):
            connection = await connect(self._database.place.dsn or "", self._database.timeout_s)
            lost = asyncio.Event()
            try:
                connection.add_termination_listener(lambda _connection: lost.set())
                await connection.add_listener(CHANNEL, lambda _connection, _pid, _channel, _seq: changed())
                changed()
                while not lost.is_set():
                    try:
                        await asyncio.wait_for(lost.wait(), ALIVE_S)
                    except TimeoutError:
                        await connection.execute("SELECT 1")
                raise StoreDown(f"{self._database.name} closed the connection")
            finally:
                connection.terminate()


async def _number(connection: aiosqlite.Connection, query: str) -> int:
    async with connection.execute(query) as cursor:
        row = await cursor.fetchone()
    return int(row[0]) if row else 0
