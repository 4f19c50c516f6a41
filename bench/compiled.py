"""Portico as its image has it, with its hot path compiled: `$PORTICO_HOME/bench/portico-<hash of its sources>`."""

from __future__ import annotations

import fcntl
import hashlib
import shutil
import sys
import time
from pathlib import Path

from bench.environments import home, say
from bench.process import StartError
from tools.compile import CompileError, compile_modules

CHECKOUT = Path(__file__).parent.parent
PARTS = ("server", "config", "requirements")
_COMPLETE = "complete"


def compiled() -> Path:
    """The folder of a compiled copy of this checkout, which is made when its sources are new. Raises StartError.

    It counts as made only with its marker file, which is written last. Copies of other sources are removed.
    """
    folder = home() / f"portico-{_digest()}"
    folder.parent.mkdir(parents=True, exist_ok=True)
    with (folder.parent / "portico.lock").open("w") as guard:
        fcntl.flock(guard, fcntl.LOCK_EX)
        if not (folder / _COMPLETE).exists():
            for old in folder.parent.glob("portico-*"):
                shutil.rmtree(old)
            _make(folder)
            (folder / _COMPLETE).touch()
    return folder


def environ(folder: Path) -> dict[str, str | None]:
    """With which `python -m server` runs what is in `folder`, wherever it is called."""
    return {"PYTHONPATH": str(folder), "PYTHONSAFEPATH": "1"}


def _digest() -> str:
    digest = hashlib.sha256(sys.version.encode())
    for path in (*sorted((CHECKOUT / "server").rglob("*.py")), CHECKOUT / "tools/compile.py"):
        digest.update(f"{path.relative_to(CHECKOUT)}\n".encode() + path.read_bytes())
    return digest.hexdigest()[:12]


def _make(folder: Path) -> None:
    say(f"portico: compiling its hot path into {folder}: about a minute")
    begun = time.monotonic()
    for part in PARTS:
        shutil.copytree(CHECKOUT / part, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
    try:
        compile_modules(folder)
    except CompileError as error:
        say(str(error))
        raise StartError("cannot be compiled (Debian: apt-get install gcc libc6-dev python3-dev)") from error
    say(f"portico: compiled in {time.monotonic() - begun:.0f} s")
