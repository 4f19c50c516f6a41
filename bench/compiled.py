"""Portico as its image has it, with its hot path compiled: `$PORTICO_HOME/bench/portico-<hash of its sources>`."""

from __future__ import annotations

import hashlib
import shutil
import sys
import time
from pathlib import Path

from bench.environments import home, made_once, say
from bench.process import StartError
from tools.compile import CompileError, compile_modules

CHECKOUT = Path(__file__).parent.parent
PARTS = ("server", "config", "requirements")


def compiled() -> Path:
    """The folder of a compiled copy of this checkout, which is made when its sources are new. Raises StartError."""
    return made_once(home() / f"portico-{_digest()}", _make)


def environ(folder: Path) -> dict[str, str | None]:
    """With which `python -m server` runs what is in `folder`, wherever it is called."""
    return {"PYTHONPATH": str(folder), "PYTHONSAFEPATH": "1"}


def _digest() -> str:
    digest = hashlib.sha256(sys.version.encode())
    copied = sorted(path for part in PARTS for path in (CHECKOUT / part).rglob("*") if "__pycache__" not in path.parts)
    for path in (*copied, CHECKOUT / "tools/compile.py"):
        if path.is_file():
            digest.update(f"{path.relative_to(CHECKOUT)}\n".encode() + path.read_bytes())
    return digest.hexdigest()[:12]


def _make(folder: Path) -> None:
    say(f"portico: compiling its hot path into {folder}: about a minute")
    begun = time.monotonic()
    for old in folder.parent.glob("portico-*/"):  # of other sources, or interrupted
        shutil.rmtree(old)
    for part in PARTS:
        shutil.copytree(CHECKOUT / part, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
    try:
        compile_modules(folder)
    except CompileError as error:
        say(str(error))
        raise StartError("cannot be compiled (Debian: apt-get install gcc libc6-dev python3-dev)") from error
    say(f"portico: compiled in {time.monotonic() - begun:.0f} s")
