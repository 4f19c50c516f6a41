"""The official Node SDK, run by node's own test runner; see node/sdk.test.mjs."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.live.conftest import CONTEXT_LENGTH, MODEL, START_S
from tests.live.service import Service
from tests.npm import INSTALL_S, installed, node

NODE = Path(__file__).parent / "node"
LONGEST_S = 300  # on a loaded machine; 15 otherwise


@pytest.mark.timeout(START_S + INSTALL_S + LONGEST_S)
def test_node_sdk(service: Service, tmp_path: Path) -> None:
    shutil.copy(NODE / "sdk.test.mjs", tmp_path)
    (tmp_path / "node_modules").symlink_to(installed(NODE))
    asked = {"URL": service.base_url, "KEY": service.key, "MODEL": MODEL, "CONTEXT": str(CONTEXT_LENGTH)}
    environ = {**os.environ, **{f"PORTICO_{name}": value for name, value in asked.items()}}
    done = subprocess.run(
        [node(), "--test", "--test-reporter=tap", "sdk.test.mjs"], cwd=tmp_path, env=environ, capture_output=True,
        text=True, timeout=LONGEST_S, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-1000:]
    wanted = len(re.findall(r"^test\(", (NODE / "sdk.test.mjs").read_text(encoding="utf-8"), re.MULTILINE))
    assert f"# pass {wanted}\n" in done.stdout, done.stdout[-1000:]
    assert "# fail 0\n" in done.stdout
    assert "# skipped 0\n" in done.stdout
