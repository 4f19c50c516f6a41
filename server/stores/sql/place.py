"""Where the database is: the URL of the configuration, taken apart."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from server.stores.base import StoreError


@dataclass(frozen=True, slots=True)
class Place:
    """`file` of SQLite or `dsn` of PostgreSQL; the other one is None. `name` is fit for messages."""

    name: str
    file: Path | None = None
    dsn: str | None = None


def place_of(url: str, home: Path) -> Place:
    """sqlite:///PATH, below `home` if relative, or postgresql://. Raises `StoreError`, which quotes nothing of it."""
    kind, _, path = url.partition(":///")
    if kind == "sqlite" and path:
        file = home / path
        return Place(f"the database {file}", file=file)
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:  # its text would hold a piece of the password
        raise StoreError(
            "stores.durable: not the URL of a database; write :, /, @, ? and # in a password as %3A, %2F, %40, %3F, %23"
        ) from None
    if parts.scheme not in {"postgresql", "postgres"}:
        raise StoreError("stores.durable: must be sqlite:///PATH or postgresql://USER:PASSWORD@HOST/NAME")
    address = f"{host}:{port}" if port else host
    return Place(f"the database {address}{parts.path}", dsn=url)


def make_file(file: Path) -> None:
    """Create what is missing, for the owner alone; what is there keeps its mode. Raises `OSError`.

    SQLite gives its further files (-wal, -shm) the mode of the database.
    """
    missing = [folder for folder in file.parents if not folder.exists()]
    for folder in reversed(missing):
        folder.mkdir(mode=0o700, exist_ok=True)
    os.close(os.open(file, os.O_RDWR | os.O_CREAT, 0o600))
