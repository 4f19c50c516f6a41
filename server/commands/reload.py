"""`portico reload`: the running service reads its configuration again."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from server.commands.control import Refused, ask, socket_path
from server.config import home, load

if TYPE_CHECKING:
    Subparsers = argparse._SubParsersAction[argparse.ArgumentParser]  # pyright: ignore[reportPrivateUsage]


def add_reload_command(commands: Subparsers) -> None:
    reload = commands.add_parser("reload", help="let the running service read its configuration again")
    reload.add_argument("--config", type=Path, metavar="FILE", help="the configuration that it runs with")
    reload.set_defaults(run=_reload)


def _reload(arguments: argparse.Namespace) -> int:
    return order({"command": "reload"}, arguments.config)


def order(request: dict[str, str], config: Path | None) -> int:
    """Send it to the running service of this configuration, and say what it said."""
    try:
        print(ask(socket_path(load(config), home()), request))
    except Refused as refused:
        print(f"portico: {refused}", file=sys.stderr)
        return 1
    return 0
