"""The set-up that `make` does."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent


def test_an_interrupted_environment_is_made_again(tmp_path: Path) -> None:
    shutil.copy(ROOT / "Makefile", tmp_path)
    (tmp_path / ".venv/bin").mkdir(parents=True)
    (tmp_path / ".venv/bin/python").symlink_to(sys.executable)  # what venv does first, pip comes much later
    planned = subprocess.run(
        ["make", "--dry-run", ".venv/.gateway", "--assume-new=requirements/gateway.lock",
         "--assume-new=pyproject.toml"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert "-m venv .venv" in planned.stdout
