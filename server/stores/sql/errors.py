"""What drivers raise, as what stores raise: one line for a person, without passwords, SQL or values."""

from __future__ import annotations

import sqlite3
from collections.abc import Generator
from contextlib import contextmanager

import asyncpg  # pyright: ignore[reportMissingTypeStubs]
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, NotSupportedError, ProgrammingError, SQLAlchemyError

from server.stores.base import AccessRefused, StoreDown, StoreError

Foreign = (SQLAlchemyError, asyncpg.PostgresError, asyncpg.InterfaceError, sqlite3.Error, OSError)
# What the same statement would meet again. All else may pass: a lost connection, a lock, a full disk.
_OUR_FAULT = (
    IntegrityError, DataError, ProgrammingError, NotSupportedError,
    sqlite3.IntegrityError, sqlite3.DataError, sqlite3.ProgrammingError, sqlite3.InterfaceError,
)  # fmt: skip
_NO_ENTRY = (asyncpg.InvalidAuthorizationSpecificationError, asyncpg.InvalidCatalogNameError)


@contextmanager
def translated(name: str) -> Generator[None]:
    """Raises `StoreDown` or `StoreError` for what the driver raised; `name` is the database's, for people."""
    try:
        yield
    except StoreError:
        raise
    except TimeoutError:
        raise StoreDown(f"{name} did not answer in time") from None
    except _OUR_FAULT as error:
        raise StoreError(f"{name} refused: {_line(error)}") from None
    except Foreign as error:
        kind = AccessRefused if isinstance(_cause(error), _NO_ENTRY) else StoreDown
        raise kind(f"{name} is not available: {_line(error)}") from None


def _line(error: BaseException) -> str:
    """Its first line. What SQLAlchemy adds (the statement, its values) and the server's DETAIL are left out."""
    cause = _cause(error)
    if isinstance(cause, OSError) and cause.strerror:
        return cause.strerror
    return str(cause).strip().partition("\n")[0][:200] or type(cause).__name__


def _cause(error: BaseException) -> BaseException:
    """What the driver itself raised."""
    cause = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
    return cause.__cause__ if isinstance(cause.__cause__, Foreign) else cause
