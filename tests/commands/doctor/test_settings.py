"""Verdicts on a configuration that is valid."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from server.commands.doctor.settings import judge_certificate, judge_exposure, judge_keys
from server.config import Config
from server.telemetry.certificate import first_expiry

CHAIN = (Path(__file__).parents[2] / "data/tls/cert.pem").read_text()
EXPIRY = first_expiry(CHAIN)
DAY = 86_400
HASH = "ab" * 32


def config(**sections: Any) -> Config:
    return Config.model_validate(sections)


def one_key(name: str = "team", sha: str = HASH) -> dict[str, Any]:
    return {"static_keys": [{"name": name, "key_sha256": sha}]}


@pytest.mark.parametrize(
    ("left", "level", "text"),
    [
        (400 * DAY, "ok", "(400 days)"),
        (15 * DAY, "ok", "good until 2126-10-31"),
        (13 * DAY, "warn", "expires on 2126-10-31"),
        (-1, "fail", "expired on 2126-10-31"),
    ],
)
def test_a_certificate(left: float, level: str, text: str) -> None:
    verdict = judge_certificate(CHAIN, EXPIRY - left)
    assert verdict.level == level and text in verdict.line


def test_no_certificate() -> None:
    assert judge_certificate("-----BEGIN KEY-----", 0).level == "fail"


@pytest.mark.parametrize(
    ("metrics", "level"),
    [
        ({"host": "127.0.0.1"}, "ok"),
        ({"host": "::1"}, "ok"),
        ({"host": "0.0.0.0"}, "warn"),
        ({"host": "10.1.2.3"}, "warn"),
        ({"host": "0.0.0.0", "token": "s3cr3t-s3cr3t"}, "ok"),
    ],
)
def test_open_metrics(metrics: dict[str, Any], level: str) -> None:
    (verdict,) = judge_exposure(config(metrics=metrics))
    assert verdict.level == level
    assert "s3cr3t" not in verdict.line


@pytest.mark.parametrize(
    ("auth", "host", "in_database", "development", "levels", "text"),
    [
        ({"mode": "none"}, "127.0.0.1", False, None, ["warn"], "auth.mode: none"),
        (one_key(), "0.0.0.0", False, None, ["ok"], "1 in the configuration"),
        ({}, "0.0.0.0", True, None, ["ok"], "some in the database"),
        (one_key(), "127.0.0.1", False, HASH, ["warn", "ok"], "team is the development key"),
        ({}, "127.0.0.1", False, None, ["warn"], "the first start makes"),
        ({}, "127.0.0.1", False, HASH, ["warn"], "only the development key opens it, which is in"),
        ({}, "0.0.0.0", False, HASH, ["fail"], "no key is configured"),
        ({}, "0.0.0.0", None, None, ["warn"], "cannot be asked"),
    ],
)
def test_keys(
    auth: dict[str, Any], host: str, in_database: bool | None, development: str | None, levels: list[str], text: str
) -> None:
    verdicts = list(judge_keys(config(auth=auth, server={"host": host}), in_database, development))
    assert [one.level for one in verdicts] == levels
    assert text in verdicts[0].line
    assert all(HASH not in one.line for one in verdicts)
