"""What the commands on the durable store share: opening it, who acts, finding a project, one-line errors, tables."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import pwd
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from time import gmtime, strftime
from typing import TYPE_CHECKING, Any, TypeVar
from unicodedata import east_asian_width

from pydantic import BaseModel, ValidationError

from server.api.refusals import param_of, reason
from server.config import home, load
from server.stores.base import Directory, NotThere, StoreError
from server.stores.records import Actor, ProjectRecord
from server.stores.sql.opening import open_durable
from server.stores.sql.store import SqlStore

if TYPE_CHECKING:
    Subparsers = argparse._SubParsersAction[argparse.ArgumentParser]  # pyright: ignore[reportPrivateUsage]

B = TypeVar("B", bound=BaseModel)
Work = Callable[[argparse.Namespace, SqlStore], Awaitable[None]]
PAGE = 500


class Failed(Exception):
    """One line for a person. `status`: 1, or 2 for wrong use."""

    def __init__(self, message: str, status: int = 1) -> None:
        super().__init__(message)
        self.status = status


def add_action(actions: Subparsers, name: str, work: Work, text: str) -> argparse.ArgumentParser:
    """A command that runs `work` on the durable store of the configuration."""
    action = actions.add_parser(name, help=text, description=text)
    action.add_argument("--config", type=Path, metavar="FILE", help="the configuration that names the database")
    action.add_argument("--json", action="store_true", help="data for programs")
    action.set_defaults(run=partial(_run, work))
    return action


def _run(work: Work, arguments: argparse.Namespace) -> int:
    try:
        asyncio.run(_on_store(arguments, work))
    except (Failed, StoreError) as error:
        text = str(error)
        said = text if isinstance(error, Failed) else text[:1].upper() + text[1:]
        print(f"portico: {said}", file=sys.stderr)
        return error.status if isinstance(error, Failed) else 1
    return 0


async def _on_store(arguments: argparse.Namespace, work: Work) -> None:
    store = await open_durable(load(arguments.config).stores.durable, home())
    try:
        await work(arguments, store)
    finally:
        await store.close()


def actor() -> Actor:
    """The user of the operating system; behind sudo, who became it is told as well."""
    try:
        user = pwd.getpwuid(os.getuid()).pw_name
    except KeyError:  # a container's user without a name
        user = str(os.getuid())
    return Actor("command_line", user, os.environ.get("SUDO_USER", ""))


def asked(kind: type[B], **values: Any) -> B:
    """The options that were given, checked as the HTTP API checks a body. Raises `Failed`."""
    try:
        return kind.model_validate({name: value for name, value in values.items() if value is not None})
    except ValidationError as error:
        problem = error.errors(include_url=False, include_input=False)[0]
        raise Failed(f"{param_of(problem['loc'])}: {reason(problem)}", 2) from None


async def find_project(directory: Directory, text: str) -> ProjectRecord:
    """By id or name, archived ones by id alone. Raises `Failed`."""
    if text.startswith("proj_"):
        try:
            return await directory.project(text)
        except NotThere:
            pass  # somebody may have called a project so
    found = [project async for project in all_projects(directory) if project.name == text]
    if not found:
        raise Failed(
            f"There is no project {text!r}; `portico projects create` makes one, `portico projects list` lists"
        )
    if len(found) > 1:
        raise Failed(f"Several projects have this name; take the id: {', '.join(one.id for one in found)}")
    return found[0]


async def all_projects(directory: Directory, *, archived: bool = False) -> AsyncIterator[ProjectRecord]:
    """Newest first."""
    after: str | None = None
    while page := await directory.projects(after=after, limit=PAGE, archived=archived):
        for project in page:
            yield project
        after = page[-1].id


def say(text: str) -> None:
    """To people."""
    print(text, file=sys.stderr)


def show(rows: Sequence[dict[str, Any]], columns: Sequence[str], *, as_json: bool) -> None:
    """Data, to standard output: as JSON with all its fields, or as a table of some."""
    if as_json:
        print(json.dumps(list(rows), indent=2, ensure_ascii=False))
    else:
        print("\n".join(table([[_cell(row[name]) for name in columns] for row in rows], columns)))


def show_one(row: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print(json.dumps(row, indent=2, ensure_ascii=False))
        return
    width = max(len(name) for name in row)
    for name, value in row.items():
        print(f"{name:<{width}}  {_cell(value)}")


def table(rows: Sequence[Sequence[str]], heads: Sequence[str]) -> Iterator[str]:
    lines = [[head.upper() for head in heads], *rows]
    widths = [max(_width(line[column]) for line in lines) for column in range(len(heads))]
    for line in lines:
        cells = [cell + " " * (width - _width(cell)) for cell, width in zip(line, widths, strict=True)]
        yield "  ".join(cells).rstrip()


def _width(text: str) -> int:
    """Columns of a terminal."""
    return sum(2 if east_asian_width(letter) in "WF" else 1 for letter in text)


def cut(text: str, width: int) -> str:
    """`text` in at most `width` columns (1 or more), with a sign where it goes on."""
    if _width(text) <= width:
        return text
    kept = text
    while kept and _width(kept) >= width:
        kept = kept[:-1]
    return f"{kept}\N{HORIZONTAL ELLIPSIS}"


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, dict):
        return " ".join(f"{name}={_cell(one)}" for name, one in value.items()) or "-"  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
    if isinstance(value, list):
        return ",".join(_cell(one) for one in value)  # pyright: ignore[reportUnknownVariableType]
    return str(value)


def moment(seconds: int | None) -> str | None:
    """UTC, as 2026-11-25T08:30:00Z."""
    return None if seconds is None else strftime("%Y-%m-%dT%H:%M:%SZ", gmtime(seconds))
