"""`portico doctor`: verdicts to standard output, exit status 1 where something fails."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from server.commands.doctor.examination import examine_files, examine_machine, examine_surroundings
from server.commands.doctor.verdict import Verdict, fail, ok
from server.config import ConfigError, home, load

if TYPE_CHECKING:
    Subparsers = argparse._SubParsersAction[argparse.ArgumentParser]  # pyright: ignore[reportPrivateUsage]


def add_doctor_command(commands: Subparsers) -> None:
    doctor = commands.add_parser("doctor", help="check this machine, the configuration and all that it names")
    doctor.add_argument("--config", type=Path, metavar="FILE")
    doctor.add_argument("--json", action="store_true", help="data for programs")
    doctor.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    verdicts: list[Verdict] = []
    for verdict in _verdicts(arguments.config):
        verdicts.append(verdict)
        if not arguments.json:
            print(verdict.line, flush=True)
    failed, warned = (sum(one.level == level for one in verdicts) for level in ("fail", "warn"))
    if arguments.json:
        tree = {"ok": not failed, "verdicts": [asdict(one) for one in verdicts]}
        print(json.dumps(tree, indent=2, ensure_ascii=False))
    elif failed or warned:
        print(f"{failed} failed, {warned} to look at.", file=sys.stderr)
    return 1 if failed else 0


def _verdicts(path: Path | None) -> Iterator[Verdict]:
    hardware, verdicts = examine_machine(home())
    yield from verdicts
    try:
        config = load(path)
    except ConfigError as error:
        yield fail("configuration", str(error))
        return
    yield ok("configuration", "the configuration can be read")
    yield from examine_files(config, path, home())
    yield from asyncio.run(examine_surroundings(config, hardware, home()))
