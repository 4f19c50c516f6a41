from __future__ import annotations

import hashlib
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from server.commands.devkey import with_development_key
from server.config import Config, ConfigError


def config(**sections: Any) -> Config:
    return Config.model_validate(sections)


def test_made_once_and_kept(tmp_path: Path) -> None:
    first, key = with_development_key(config(), tmp_path / "home")
    _, again = with_development_key(config(), tmp_path / "home")
    assert key is not None and key == again and len(key) > 30
    assert first.auth.static_keys[0].key_sha256 == hashlib.sha256(key.encode()).hexdigest()
    assert key not in repr(first)
    assert stat.S_IMODE((tmp_path / "home/dev-key").stat().st_mode) == 0o600


def test_two_first_starts_have_one_key(tmp_path: Path) -> None:
    with ThreadPoolExecutor() as pool:
        keys = set(pool.map(lambda _: with_development_key(config(), tmp_path)[1], range(50)))
    assert keys == {(tmp_path / "dev-key").read_text().strip()}


def test_not_where_there_are_keys_or_none_are_asked(tmp_path: Path) -> None:
    for auth in ({"mode": "none"}, {"static_keys": [{"name": "a", "key_sha256": "0" * 64}]}):
        given = config(auth=auth)
        assert with_development_key(given, tmp_path) == (given, None)


def test_not_where_others_could_call(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="PORTICO_API_KEY"):
        with_development_key(config(server={"host": "0.0.0.0"}), tmp_path)


@pytest.mark.parametrize("content", [b"", b"nonsense", b"\xff\xfe"])
def test_a_spoilt_file_is_written_anew(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "dev-key").write_bytes(content)
    _, key = with_development_key(config(), tmp_path)
    assert key is not None and key.startswith("sk-portico-dev-")


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=r"PORTICO_HOME|cannot be read"):
        with_development_key(config(), tmp_path / "file" / "home")
