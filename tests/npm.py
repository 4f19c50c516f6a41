"""What tests need from the npm registry, as a lock file pins it."""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import subprocess
from pathlib import Path

from server.config import home
from tests.conftest import lacking

OLDEST_NODE = 20
INSTALL_S = 300


def node() -> str:
    """Node itself. Skips the test, or fails it in CI, if there is none that is new enough."""
    found = shutil.which("node")
    if found is None or shutil.which("npm") is None:
        lacking(f"node and npm are not installed: Node {OLDEST_NODE} or newer is needed")
    version = subprocess.run([found, "--version"], capture_output=True, text=True, check=True).stdout
    if int(version.removeprefix("v").partition(".")[0]) < OLDEST_NODE:
        lacking(f"node is {version.strip()}: Node {OLDEST_NODE} or newer is needed")
    return found


def installed(folder: Path) -> Path:
    """The `node_modules` of a folder with a package.json and its lock, kept for the next run under $PORTICO_HOME."""
    node()
    lock = (folder / "package-lock.json").read_bytes()
    key = hashlib.sha256(lock + platform.platform().encode()).hexdigest()[:12]
    kept = home() / "node" / f"{folder.name}-{key}"
    if not (kept / ".complete").exists():
        new = kept.with_name(f"{kept.name}.{os.getpid()}")
        new.mkdir(parents=True)
        for name in ("package.json", "package-lock.json"):
            shutil.copy(folder / name, new)
        done = subprocess.run(
            ["npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts"], cwd=new, capture_output=True, text=True,
            timeout=INSTALL_S, check=False,
        )  # fmt: skip
        if done.returncode != 0:
            shutil.rmtree(new)
            lacking(f"npm cannot install what {folder.name}/package-lock.json pins: {done.stderr[-500:]}")
        (new / ".complete").touch()
        shutil.rmtree(kept, ignore_errors=True)
        new.rename(kept)
    return kept / "node_modules"
