from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from server.commands.doctor.files import Folder, Secret, folders, judge_folders, judge_secrets, judge_user, secret_files
from server.config import Config


def folder(what: str = "x", *, writable: bool = True, disk: int = 1, free: int = 9000, wanted: int = 1000) -> Folder:
    return Folder(Path(f"/{what}"), what, writable, disk, free, wanted)


def test_who_runs_it() -> None:
    assert judge_user(0).level == "warn"
    assert judge_user(10001).level == "ok"


def test_secrets() -> None:
    closed, open_ = Secret(Path("/a"), "server.tls.key", 0o100640), Secret(Path("/b"), "the development key", 0o100644)
    (good,) = judge_secrets([closed])
    assert good.level == "ok"
    (bad,) = judge_secrets([closed, open_])
    assert bad.level == "warn"
    assert "/b (the development key) can be read by every user" in bad.line and "chmod o-r /b" in bad.line


@pytest.mark.parametrize(
    ("found", "levels", "said"),
    [
        ([folder("a"), folder("b")], ["ok"], "8.8 GiB of disk free for a, b"),
        ([folder("a"), folder("b", disk=2)], ["ok", "ok"], "8.8 GiB of disk free for a"),
        ([folder("a", free=1500), folder("b", free=1500)], ["warn"], "2.0 GiB may be needed"),
        ([folder("a", free=100)], ["fail"], "make room"),
        ([folder("a", writable=False)], ["fail", "ok"], "/a (a) cannot be written by this user"),
    ],
)
def test_folders(found: list[Folder], levels: list[str], said: str) -> None:
    verdicts = list(judge_folders(found))
    assert [one.level for one in verdicts] == levels
    assert said in verdicts[0].line


def test_where_it_writes(tmp_path: Path) -> None:
    config = Config.model_validate({"server": {"workers": 3}})
    (tmp_path / "file").touch()
    found = {one.what: one for one in folders(config, tmp_path / "home")}
    assert set(found) == {"$PORTICO_HOME", "stores.spool", "stores.durable", "temporary files"}
    assert all(one.writable and one.free_mib > 0 for one in found.values())
    assert found["stores.spool"].wanted_mib == 3 * 1024
    assert not (tmp_path / "home").exists()
    assert not {one.what: one for one in folders(config, tmp_path / "file/home")}["$PORTICO_HOME"].writable
    other = Config.model_validate({"stores": {"durable": "postgresql://u:p@h/n"}})
    assert "stores.durable" not in {one.what for one in folders(other, tmp_path)}


@pytest.mark.parametrize(
    ("tree", "holds"),
    [
        ({"server": {"port": 1}}, False),
        ({"engines": {"a": {"api_key": "x"}}}, True),
        ({"metrics": {"token": "x"}}, True),
        ({"stores": {"durable": "postgresql://u:p@h/n"}}, True),
        ({"stores": {"durable": "postgresql://u@h/n"}}, False),
    ],
)
def test_whether_the_configuration_holds_secrets(tree: dict[str, Any], holds: bool, tmp_path: Path) -> None:
    file = tmp_path / "portico.yaml"
    file.touch()
    found = secret_files(Config(), tmp_path, file, tree, {})
    assert [one.path for one in found] == ([file] if holds else [])


def test_files_with_secrets(tmp_path: Path) -> None:
    for name in ("dev-key", "token", "key"):
        (tmp_path / name).touch(mode=0o600)
    (tmp_path / "var").mkdir()
    (tmp_path / "var/portico.db").touch(mode=0o644)
    environ = {
        "PORTICO__METRICS__TOKEN_FILE": str(tmp_path / "token"),
        "PORTICO_API_KEY_FILE": str(tmp_path / "gone"),
        "OTHER_FILE": str(tmp_path / "other"),
    }
    found = secret_files(Config(), tmp_path, tmp_path / "portico.yaml", {}, environ)
    assert [(one.path.name, oct(one.mode & 0o777)) for one in found] == [
        ("dev-key", "0o600"),
        ("token", "0o600"),
        ("portico.db", "0o644"),
    ]
