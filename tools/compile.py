"""Compile the gateway's hot path: `python -m tools.compile FOLDER`, where FOLDER holds the package `server`.

The same sources run interpreted: this makes extension modules of some of them with mypyc and puts them beside, where
Python prefers them. A request then costs a seventh to a fifth less (bench/RESULTS.md). It takes a C compiler, Python's
headers and about a minute. In a working copy it would hide every later change of a source, so it is done to copies
only: the image's, the benchmark's, a test's.

Which modules: those that every request or every chunk of a stream runs, and that mypyc can compile. It cannot compile
msgspec's structs, classes that interpreted ones inherit from, and classes that inherit from a library's. What it gets
wrong: an exception that passes an `await` in a `finally` (or in the end of an `async with`) is raised again, or lost,
when the coroutine's memory is used for another. tests/test_compiled.py refuses modules that have one.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

MODULES = (
    "admission/admission", "admission/counters", "admission/fair_queue", "admission/slots",
    "answers/annotated", "answers/calls", "answers/edit", "answers/leaks", "answers/logprobs", "answers/names",
    "answers/stop", "answers/usage",
    "api/calls", "api/deadline", "api/http", "api/inbound",
    "auth/keys",
    "breaker",
    "call",
    "engines/connection", "engines/exchange",
    "gateway",
    "known_head",
    "limits/headers", "limits/limiter", "limits/plan",
    "metering",
    "moderation/moderator",
    "openai/collect", "openai/events", "openai/reader", "openai/sse", "openai/validate",
    "outbox",
    "stores/counters", "stores/windows",
    "telemetry/local", "telemetry/metrics", "telemetry/request_log", "telemetry/series",
    "tokens/bound",
    "usage/record", "usage/spool", "usage/usage_log",
)  # fmt: skip
# Types are pyright's business; mypyc needs them to hold where it compiles, and nowhere else.
OPTIONS = ("--follow-imports=silent", "--follow-untyped-imports", "--implicit-reexport", "--ignore-missing-imports")


class CompileError(Exception):
    """What the compiler said, in its last lines."""


def compile_modules(folder: Path, python: str = sys.executable) -> Sequence[Path]:
    """Extension modules for `folder`/server; those that were there are removed. `python` has the gateway's packages.

    Raises `CompileError`.
    """
    for old in (folder / "server").rglob("*.so"):
        old.unlink()
    with TemporaryDirectory() as temporary:
        work = Path(temporary)
        shutil.copytree(folder / "server", work / "server", ignore=shutil.ignore_patterns("__pycache__", "shipped"))
        files = [f"server/{module}.py" for module in MODULES]
        made = subprocess.run(
            [sys.executable, "-m", "mypyc", "--python-executable", python, *OPTIONS, *files],
            cwd=work,
            env={**os.environ, "MYPYC_OPT_LEVEL": "3", "MYPYC_DEBUG_LEVEL": "0", "MYPY_CACHE_DIR": os.devnull},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        if made.returncode:
            raise CompileError("\n".join(line for line in made.stdout.splitlines() if "warning:" not in line)[-2000:])
        compiled = [*work.glob("*__mypyc.*.so"), *work.glob("server/**/*.so")]
        return [Path(shutil.copy2(one, folder / one.relative_to(work))) for one in compiled]


def main() -> None:
    parser = argparse.ArgumentParser(description="Compile the gateway's hot path in a copy of it.")
    parser.add_argument("folder", type=Path, help="holds the package `server`: an environment's site-packages, a copy")
    parser.add_argument("--python", default=sys.executable, help="has the gateway's packages (this one)")
    asked = parser.parse_args()
    if not (asked.folder / "server/gateway.py").is_file():
        parser.error(f"there is no package `server` in {asked.folder}")
    if (asked.folder / "pyproject.toml").exists():
        parser.error(f"{asked.folder} is a checkout: what is compiled there hides every later change of a source")
    print(f"compiling {len(MODULES)} modules in {asked.folder}: about a minute", file=sys.stderr, flush=True)
    try:
        compile_modules(asked.folder, asked.python)
    except CompileError as error:
        sys.exit(f"{error}\nnot compiled; the gateway runs interpreted. gcc and Python's headers are needed for it.")


if __name__ == "__main__":
    main()
