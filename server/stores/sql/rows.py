"""Many rows into SQLite: one connection, in a thread of its own.

Whenever a statement begins or ends, its thread and the event loop contend for the interpreter, and the one that waits
is woken for nothing each time the other looks at a socket. So a transaction of many rows is one visit of the thread and
few statements, and has not a statement and a visit for each of a driver's steps.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

Work = Callable[[sqlite3.Connection], None]


class RowWriter:
    """Its transactions come one after another, also those nobody waits for any more. Raises `sqlite3.Error`."""

    def __init__(self, file: Path, timeout_s: float) -> None:
        self._file = file
        self._timeout_s = timeout_s
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="rows")  # started by the first use
        self._connection: sqlite3.Connection | None = None

    async def write(self, work: Work) -> None:
        await asyncio.get_running_loop().run_in_executor(self._thread, self._write, work)

    async def close(self) -> None:
        await asyncio.get_running_loop().run_in_executor(self._thread, self._disconnect)
        self._thread.shutdown(wait=False)

    # In the thread

    def _write(self, work: Work) -> None:
        connection = self._connection
        if connection is None:
            connection = self._connection = sqlite3.connect(self._file)
            set_up_sqlite(connection, self._timeout_s)
        try:
            connection.execute("BEGIN IMMEDIATE")
            work(connection)
            connection.execute("COMMIT")
        except BaseException:
            self._disconnect()  # which rolls back
            raise

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()


def set_up_sqlite(connection: Any, timeout_s: float) -> None:
    """`connection` of any driver."""
    connection.isolation_level = None  # the driver begins no transactions by itself
    cursor = connection.cursor()
    for pragma in (
        f"busy_timeout = {int(timeout_s * 800)}",  # another process writes; answers before our own time is up
        "journal_mode = WAL",
        "synchronous = NORMAL",
        "foreign_keys = ON",
    ):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()
