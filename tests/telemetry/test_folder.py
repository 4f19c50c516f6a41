"""The folder of shared metrics goes with its parent, and at the latest with the next one."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from server.telemetry.folder import MetricsFolder

HOLD = """
import sys
from server.telemetry.folder import MetricsFolder
held = MetricsFolder()
print(held.path, flush=True)
sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def own_tmp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def test_what_a_killed_parent_left_is_cleared_away(own_tmp: Path) -> None:
    (own_tmp / "something-else").mkdir()
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", HOLD], stdin=pipe, stdout=pipe, env={"TMPDIR": str(own_tmp)}) as other:
        assert other.stdout is not None
        theirs = Path(other.stdout.readline().decode().strip())
        ours = MetricsFolder()
        assert theirs.is_dir()  # in use
        other.kill()
        other.wait()
    assert theirs.is_dir()
    again = MetricsFolder()
    assert not theirs.exists()
    assert ours.path.is_dir()
    for folder in (ours, again):
        folder.remove()
    assert [path.name for path in own_tmp.iterdir()] == ["something-else"]
