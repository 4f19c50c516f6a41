"""deploy/compose/make_secrets.py: made once, kept, private to their readers, and given ones win."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

FILES = {
    "gateway/api-key",
    "gateway/engine-key",
    "gateway/durable",
    "gateway/volatile",
    "engine/engine-key",
    "engine/hf-token",
    "postgres/password",
    "valkey/password",
    "valkey/valkey.conf",
}


def made(root: Path, folder: Path, **given: str) -> dict[str, str]:
    """What is there after a run as a service of its own."""
    script = root / "deploy/compose/make_secrets.py"
    done = subprocess.run(
        [sys.executable, "-I", script, folder], env=given, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")  # nothing of a secret in a log
    return {str(file.relative_to(folder)): file.read_text() for file in folder.rglob("*") if file.is_file()}


def test_all_is_made_at_the_first_start_and_kept(root: Path, tmp_path: Path) -> None:
    first = made(root, tmp_path)
    assert first.keys() == FILES
    assert re.fullmatch(r"sk-[\w-]{43}", first["gateway/api-key"])
    drawn = [first[name] for name in ("gateway/api-key", "engine/engine-key", "postgres/password", "valkey/password")]
    assert len(set(drawn)) == 4
    assert all((tmp_path / name).stat().st_mode & 0o777 == 0o444 for name in FILES)
    assert made(root, tmp_path) == first


def test_what_is_given_wins_and_is_taken_back(root: Path, tmp_path: Path) -> None:
    before = made(root, tmp_path)
    own = {"API_KEY": "sk-mine-0123456789", "HF_TOKEN": "hub", "DURABLE_STORE": "sqlite:///var/portico.db"}
    after = made(root, tmp_path, **own)
    changed = {"gateway/api-key", "engine/hf-token", "gateway/durable"}
    assert {name for name in FILES if before[name] != after[name]} == changed
    assert [after[name] for name in sorted(changed)] == [own["HF_TOKEN"], own["API_KEY"], own["DURABLE_STORE"]]
    again = made(root, tmp_path)
    assert again["engine/hf-token"] == ""
    assert again["gateway/durable"] == before["gateway/durable"]
    assert again["gateway/api-key"] == own["API_KEY"], "clients have it"


def test_a_start_that_was_cut_off_leaves_no_half_of_a_secret(root: Path, tmp_path: Path) -> None:
    (tmp_path / "gateway").mkdir()
    (tmp_path / "gateway/.api-key").write_text("sk-ha")
    (tmp_path / "gateway/api-key").touch()
    assert re.fullmatch(r"sk-[\w-]{43}", made(root, tmp_path)["gateway/api-key"])
    assert not list(tmp_path.rglob(".*"))
