"""The container's entry point: where the API key comes from."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def run(root: Path, tmp_path: Path) -> Run:
    """Runs the entry point with a `portico` that only says what it was given."""
    fake = tmp_path / "bin"
    fake.mkdir()
    (fake / "python").symlink_to(sys.executable)
    (fake / "portico").write_text('#!/bin/sh\necho "$*:${PORTICO_API_KEY-none}"\n')
    (fake / "portico").chmod(0o755)

    def start(**environ: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [root / "deploy/gateway/entrypoint.sh", "serve", "--workers", "2"],
            env={"PATH": f"{fake}:{os.environ['PATH']}", **environ},
            capture_output=True,
            text=True,
            check=False,
        )

    return start


def test_a_key_of_the_environment_is_passed_on(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "api-key"
    done = run(PORTICO_API_KEY="sk-given", PORTICO_API_KEY_FILE=str(file))
    assert (done.stdout, done.stderr) == ("serve --workers 2:sk-given\n", "")
    assert not file.exists()


def test_without_key_and_file_portico_decides(run: Run) -> None:
    assert run().stdout == "serve --workers 2:none\n"


def test_a_mounted_key_is_read(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text("sk-mounted\n")
    done = run(PORTICO_API_KEY="", PORTICO_API_KEY_FILE=str(file))
    assert (done.stdout, done.stderr) == ("serve --workers 2:sk-mounted\n", "")


def test_a_missing_key_is_made_once_kept_private_and_not_logged(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "state/api-key"
    file.parent.mkdir()
    first = run(PORTICO_API_KEY_FILE=str(file))
    key = file.read_text().strip()
    assert re.fullmatch(r"sk-[A-Za-z0-9_-]{43}", key)
    assert file.stat().st_mode & 0o777 == 0o600
    assert first.stdout == f"serve --workers 2:{key}\n"
    assert str(file) in first.stderr
    assert key not in first.stderr

    second = run(PORTICO_API_KEY_FILE=str(file))
    assert (second.stdout, second.stderr) == (first.stdout, "")
    assert list(file.parent.iterdir()) == [file]


def test_an_empty_file_is_no_key(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "api-key"
    file.touch()
    assert re.fullmatch(r"serve --workers 2:sk-\S{43}\n", run(PORTICO_API_KEY_FILE=str(file)).stdout)


def test_a_place_that_cannot_be_written_ends_the_start_with_one_line(run: Run, tmp_path: Path) -> None:
    done = run(PORTICO_API_KEY_FILE=str(tmp_path / "nowhere/api-key"))
    assert (done.returncode, done.stdout) == (1, "")
    assert len(done.stderr.splitlines()) == 1
    assert "set PORTICO_API_KEY" in done.stderr
