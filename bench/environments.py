"""A virtual environment for each peer: `$PORTICO_HOME/bench/<peer>-<hash of its lock file>`, made when first needed."""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
import time
import venv
from collections.abc import Callable
from functools import partial
from pathlib import Path

from bench.process import StartError

REQUIREMENTS = Path(__file__).parent.parent / "requirements"
_COMPLETE = "complete"


def home() -> Path:
    """Where environments and downloads of the benchmark live."""
    root = os.environ.get("PORTICO_HOME") or Path.home() / ".local/share/portico"
    return Path(root).expanduser() / "bench"


def say(text: str) -> None:
    """A progress line for a person."""
    print(text, file=sys.stderr, flush=True)


def locked_version(peer: str) -> str:
    """The version of the peer itself in its lock file."""
    text = (REQUIREMENTS / f"bench-{peer}.lock").read_text(encoding="utf-8")
    match = re.search(rf"^{re.escape(peer)}==(\S+)", text, re.MULTILINE)
    return match[1] if match else "?"


def environment(peer: str) -> Path:
    """The folder of the peer's environment, installed from requirements/bench-<peer>.lock. Raises StartError."""
    lock = REQUIREMENTS / f"bench-{peer}.lock"
    if not lock.is_file():
        raise StartError(f"{lock.name} is missing")
    key = hashlib.sha256(lock.read_bytes() + sys.version.encode()).hexdigest()[:12]
    return made_once(home() / f"{peer}-{key}", partial(_install, peer, lock))


def made_once(folder: Path, make: Callable[[Path], None]) -> Path:
    """`folder`, which `make` makes if it is not there; one process at a time. Raises what `make` raises.

    It counts as made only with its marker file, which is written last: what was interrupted is done again.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    with (folder.parent / f"{folder.name}.lock").open("w") as guard:
        fcntl.flock(guard, fcntl.LOCK_EX)
        if not (folder / _COMPLETE).exists():
            make(folder)
            (folder / _COMPLETE).touch()
    return folder


def _install(peer: str, lock: Path, folder: Path) -> None:
    total = len(re.findall(r"^[A-Za-z0-9][^=\s]*==", lock.read_text(encoding="utf-8"), re.MULTILINE))
    say(f"{peer} {locked_version(peer)}: installing {total} packages into {folder}")
    begun = time.monotonic()
    shutil.rmtree(folder, ignore_errors=True)
    venv.create(folder, with_pip=True)
    # The lock names all there is; left to itself, pip refuses it where a package is wanted with an extra and without.
    pip = [folder / "bin/python", "-m", "pip", "install", "--no-deps", "--require-hashes", "--progress-bar", "off"]
    command = [*pip, "-r", lock]
    seen, tail = 0, ""
    with subprocess.Popen(
        [str(part) for part in command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as pip:
        assert pip.stdout
        for line in pip.stdout:
            tail = line.strip() or tail
            if line.startswith(("Collecting ", "Processing ")):  # the latter for files of a local index
                seen += 1
                if seen % 10 == 0 or seen == total:
                    say(f"{peer}: {seen}/{total} packages collected ({time.monotonic() - begun:.0f} s)")
    if pip.returncode:
        # Without addresses: which index a machine has is nobody else's business, and the text goes into the table.
        raise StartError(f"cannot be installed: {re.sub(r'[(]?https?://[^ )]*', '', tail)[:120]}")
    say(f"{peer}: installed in {time.monotonic() - begun:.0f} s")
