"""Options that several commands take, and how their text is read. What is wrong is wrong use: exit status 2."""

from __future__ import annotations

import argparse
import re
from datetime import UTC, datetime, timedelta
from typing import Any

from server.config import Limit

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_KINDS = ", ".join(Limit.model_fields)


def duration(text: str) -> int:
    """Seconds of `90d`, `12h`, `30m`, `45s`, `2w`, `0`."""
    found = re.fullmatch(r"(\d{1,9})([smhdw])", text, re.ASCII)
    if text == "0":
        return 0
    if found is None:
        raise argparse.ArgumentTypeError("write a number and s, m, h, d or w, such as 90d")
    return int(found[1]) * _UNITS[found[2]]


def since(text: str) -> int:
    """Unix seconds of a day or time (UTC where it names no zone), or of so long ago."""
    if re.fullmatch(r"\d+[smhdw]", text, re.ASCII):
        return int((datetime.now(UTC) - timedelta(seconds=duration(text))).timestamp())
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError("write a day such as 2026-11-25, or how long ago, such as 7d") from None
    return int((found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp())


def names(text: str) -> list[str]:
    """Of `a,b`; `all` is none in particular."""
    return [name.strip() for name in text.split(",") if name.strip()]


def limit(text: str) -> tuple[str, float | int | None]:
    """Of `tokens_per_minute=60000` or `tokens_per_minute=none`."""
    kind, _, value = text.partition("=")
    if kind not in Limit.model_fields:
        raise argparse.ArgumentTypeError(f"write KIND=NUMBER; kinds are {_KINDS}")
    if value == "none":
        return kind, None
    try:
        return kind, float(value) if kind == "spend_per_month" else int(value.replace("_", ""))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{kind}: write a number, or none") from None


def model_limit(text: str) -> tuple[str, tuple[str, float | int | None]]:
    """Of `gpt-oss-20b:tokens_per_minute=60000`. A model's name may itself have a colon."""
    model, colon, rest = text.rpartition(":")
    if not colon or not model:
        raise argparse.ArgumentTypeError(f"write MODEL:KIND=NUMBER; kinds are {_KINDS}")
    return model, limit(rest)


def merged(before: Limit | None, changes: list[tuple[str, Any]] | None) -> dict[str, Any] | None:
    """`before` with `changes`, as what is to be checked; None where nothing is to change."""
    if not changes:
        return None
    return (before or Limit()).model_dump() | dict(changes)


def add_limits(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--limit",
        action="append",
        type=limit,
        dest="limits",
        metavar="KIND=N",
        help=f"may be repeated; `none` lifts it; kinds: {_KINDS}",
    )
