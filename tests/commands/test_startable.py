"""What a valid configuration may still lack, said in one line by every command that looks."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import yaml

from server.cli import main
from server.commands.devkey import with_development_key
from server.config import home, load

HEAD = "name: house\nversion: 1\nrules: [{id: r, category: own, action: block, "


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PORTICO_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("PORTICO_API_KEY", raising=False)
    file = tmp_path / "portico.yaml"
    file.write_text("engines: {lab: {url: http://127.0.0.1:9/v1}}\nmodels: {m: {engines: [lab]}}\n")
    return file


@pytest.mark.parametrize("command", [("config", "check"), ("serve",), ("doctor",)])
def test_no_key_where_others_can_call(
    command: tuple[str, ...], config: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PORTICO__SERVER__HOST", "0.0.0.0")
    assert main([*command, "--config", str(config)]) == 1
    told = capsys.readouterr()
    assert "no key is configured" in told.out + told.err


@pytest.mark.parametrize("command", [("config", "check"), ("serve",), ("doctor",)])
def test_a_certificate_that_is_none(
    command: tuple[str, ...], config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "cert.pem").write_text("not a certificate")
    config.write_text(
        config.read_text() + f"server: {{tls: {{cert: {tmp_path}/cert.pem, key: {tmp_path}/cert.pem}}}}\n"
    )
    assert main([*command, "--config", str(config)]) == 1
    told = capsys.readouterr()
    assert "server.tls.cert, server.tls.key" in told.out + told.err
    assert "Traceback" not in told.out + told.err


@pytest.mark.parametrize(
    ("policy", "told"),
    [
        ("name: house\nversion: x\n", "house.yaml: version: "),
        ("name: house\nversion: 1\nsurprise: 1\n", "house.yaml: surprise: "),
        ("name: [house\n", "house.yaml, line 2: is not YAML"),
        (f"{HEAD}literals_file: gone.txt}}]", "gone.txt: cannot be read"),
        (f"{HEAD}regex: '(a+'}}]", "rule r: regex: "),
        (f"{HEAD}regex: '(a+)+$'}}]", "rule r: regex: "),
        (
            f"{HEAD}detectors: [nothing]}}]",
            "rule r: there is no detector nothing",
        ),
        (f"{HEAD}literals: ['...']}}]", "rule r: a literal has no letter"),
        (f"{HEAD}literals: [\u3164]}}]", "rule r: a literal has no letter"),
        ("name: none\nversion: 1\n", "another policy is called none"),
    ],
    ids=str,
)
@pytest.mark.parametrize("command", [("config", "check"), ("serve",), ("doctor",)])
@pytest.mark.parametrize("where", ["policy", "folder"])
def test_a_policy_that_cannot_be_loaded(
    where: str,
    command: tuple[str, ...],
    policy: str,
    told: str,
    config: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "policies").mkdir()
    file = tmp_path / "policies/house.yaml"
    file.write_text(policy, encoding="utf-8")
    named = file if where == "policy" else file.parent
    config.write_text(f"{config.read_text()}moderation: {{{where}: {named}}}\n")
    assert main([*command, "--config", str(config)]) == 1
    out, err = capsys.readouterr()
    assert told in out + err and "Traceback" not in out + err
    if command != ("doctor",):
        assert out == "" and err.startswith("portico: ") and err.count("\n") == 1


def test_a_good_one(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config", "check", "--config", str(config)]) == 0
    assert "good" in capsys.readouterr().err


@pytest.mark.parametrize(("option", "value"), [("--port", "70000"), ("--port", "-1")])
def test_options_of_the_engine(option: str, value: str, config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["engine", "run", "--config", str(config), option, value]) == 1
    assert capsys.readouterr().err.startswith(f"portico: {option}: ")


def test_the_url_of_try(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["try", "--url", "127.0.0.1:8000", "--key", "x"]) == 1
    assert "--url must be like http://127.0.0.1:8000/v1" in capsys.readouterr().err


def test_a_key_of_the_database_is_one(
    config: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Then others may call, and no development key is made."""
    monkeypatch.setenv("PORTICO__SERVER__HOST", "0.0.0.0")
    assert main(["keys", "create", "team-a", "--config", str(config)]) == 0
    assert main(["config", "check", "--config", str(config)]) == 0
    loaded = load(config, {**os.environ, "PORTICO__SERVER__HOST": "127.0.0.1"})
    assert with_development_key(loaded, home())[1] is None
    capsys.readouterr()


def test_keys_that_encrypt_are_not_shown(
    config: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    key = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
    assert main(["config", "show", "--config", str(config)]) == 0
    before = yaml.safe_load(capsys.readouterr().out)
    monkeypatch.setenv("PORTICO__STORES__ENCRYPTION__KEY", key)
    monkeypatch.setenv("PORTICO__STORES__ENCRYPTION__OLD_KEYS", f"[{key}]")
    assert main(["config", "show", "--config", str(config)]) == 0
    told = capsys.readouterr()
    assert key not in told.out + told.err
    assert before["stores"]["encryption"] == {"key": None, "old_keys": []}
    assert yaml.safe_load(told.out)["stores"]["encryption"] == {"key": "(set)", "old_keys": "(set)"}


def test_passwords_of_stores_are_not_shown(
    config: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PORTICO__STORES__DURABLE", "postgresql://portico:s3cr3t@127.0.0.1:1/portico")
    monkeypatch.setenv("PORTICO__STORES__VOLATILE", "redis://:s3cr3t@127.0.0.1:1/0")
    assert main(["config", "show", "--config", str(config)]) == 0
    assert main(["config", "check", "--config", str(config)]) == 0
    told = capsys.readouterr()
    assert "s3cr3t" not in told.out + told.err
