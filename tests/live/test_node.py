"""The official Node SDK, run by node's own test runner; see node/sdk.test.mjs."""

from __future__ import annotations

import hashlib
import os
import platform
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from server.config import home
from tests.conftest import lacking
from tests.live.conftest import MODEL
from tests.live.service import Service

NODE = Path(__file__).parent / "node"
OLDEST = 20


@pytest.fixture(scope="module")
def node() -> str:
    found = shutil.which("node")
    if found is None or shutil.which("npm") is None:
        lacking(f"node and npm are not installed: the Node SDK needs Node {OLDEST} or newer")
    version = subprocess.run([found, "--version"], capture_output=True, text=True, check=True).stdout
    if int(version.removeprefix("v").partition(".")[0]) < OLDEST:
        lacking(f"node is {version.strip()}: the Node SDK needs Node {OLDEST} or newer")
    return found


@pytest.fixture(scope="module")
def package(node: str) -> Path:
    """A folder with the SDK as the lock file pins it, kept for the next run under $PORTICO_HOME."""
    lock = (NODE / "package-lock.json").read_bytes()
    key = hashlib.sha256(lock + platform.platform().encode()).hexdigest()[:12]
    folder = home() / "node" / f"live-{key}"
    if not (folder / ".complete").exists():
        new = folder.with_name(f"{folder.name}.{os.getpid()}")
        new.mkdir(parents=True)
        for name in ("package.json", "package-lock.json"):
            shutil.copy(NODE / name, new)
        done = subprocess.run(
            ["npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts"], cwd=new, capture_output=True, text=True,
            timeout=100, check=False,
        )  # fmt: skip
        if done.returncode != 0:
            shutil.rmtree(new)
            lacking(f"npm cannot install the Node SDK: {done.stderr[-500:]}")
        (new / ".complete").touch()
        shutil.rmtree(folder, ignore_errors=True)
        new.rename(folder)
    return folder


def test_node_sdk(node: str, package: Path, service: Service, tmp_path: Path) -> None:
    shutil.copy(NODE / "sdk.test.mjs", tmp_path)
    (tmp_path / "node_modules").symlink_to(package / "node_modules")
    environ = {**os.environ, "PORTICO_URL": service.base_url, "PORTICO_KEY": service.key, "PORTICO_MODEL": MODEL}
    done = subprocess.run(
        [node, "--test", "--test-reporter=tap", "sdk.test.mjs"], cwd=tmp_path, env=environ, capture_output=True,
        text=True, timeout=100, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-1000:]
    wanted = len(re.findall(r"^test\(", (NODE / "sdk.test.mjs").read_text(encoding="utf-8"), re.MULTILINE))
    assert f"# pass {wanted}\n" in done.stdout, done.stdout[-1000:]
    assert "# fail 0\n" in done.stdout
    assert "# skipped 0\n" in done.stdout
