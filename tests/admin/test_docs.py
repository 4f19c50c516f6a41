"""What docs/tenants.md shows works as it stands there."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import pytest

from server import cli
from server.api.admin.routes import FAMILIES
from tests.admin.conftest import Office

PAGE = (Path(__file__).parents[2] / "docs/tenants.md").read_text(encoding="utf-8")


def test_commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("PORTICO_HOME", str(tmp_path))
    monkeypatch.delenv("PORTICO_CONFIG", raising=False)
    lines = re.findall(r"^(?:    |KEY=\$\()portico (.+?)\)?$", PAGE, re.MULTILINE)
    assert len(lines) >= 10
    key_id = ""
    for line in lines:
        assert cli.main(shlex.split(line.replace("KEY_ID", key_id))) == 0, line
        capsys.readouterr()
        cli.main(["keys", "list", "--json"])
        key_id = next((one["id"] for one in json.loads(capsys.readouterr().out)), "")


def test_python(office: Office, capsys: pytest.CaptureFixture[str]) -> None:
    (code,) = re.findall(r"```python\n(.+?)```", PAGE, re.DOTALL)
    scope: dict[str, Any] = {"ADMIN_KEY": office.key}
    exec(code.replace(":8000", f":{office.port}"), scope)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("sk-portico-")
    assert [line.split()[1] for line in lines[1:]] == [
        "rate_limit.updated",
        "api_key.created",
        "service_account.created",
        "project.created",
    ]


def test_curl(office: Office) -> None:
    ((path, body),) = re.findall(r"curl http://[^/]+/v1/organization(\S+) .+?-d '(.+?)'", PAGE, re.DOTALL)
    made = office.post(path.replace("$PROJECT", office.project()), json.loads(body))
    assert {name: made[name] for name in json.loads(body)} == json.loads(body)


OPENAI = """
GET POST /projects
GET POST /projects/x
POST /projects/x/archive
GET /projects/x/api_keys
GET DELETE /projects/x/api_keys/x
GET POST /projects/x/service_accounts
GET POST DELETE /projects/x/service_accounts/x
POST /projects/x/service_accounts/x/api_keys
GET /projects/x/rate_limits
POST /projects/x/rate_limits/x
GET POST /admin_api_keys
GET DELETE /admin_api_keys/x
GET /audit_logs
GET /usage/completions
GET /usage/moderations
GET /costs
"""


def test_every_operation_that_openai_has_on_these_paths(office: Office) -> None:
    """By its description of 2026-08."""
    for line in OPENAI.split("\n")[1:-1]:
        *methods, path = line.split()
        check_served(office, path, methods)


def test_every_operation_in_the_table(office: Office) -> None:
    rows = re.findall(r"^\| (`/.+?) \| ([A-Z,; ]+) \|", PAGE, re.MULTILINE)
    assert len(rows) >= 14
    for names, methods in rows:
        paths = [name.replace("...", "/projects/{id}/rate_limits") for name in re.findall(r"`(.+?)`", names)]
        of_each = methods.split(";")
        for index, path in enumerate(paths):
            check_served(office, path.replace("{id}", "x"), of_each[min(index, len(of_each) - 1)].split(","))


def check_served(office: Office, path: str, methods: Sequence[str]) -> None:
    """Whatever it says of a request for what is not there."""
    for method in map(str.strip, methods):
        answer = office.send(method, path, {} if method == "POST" else None)
        said = answer.error["code"] if "error" in answer.json else None
        assert answer.status != 405 and said != "unknown_url", (method, path)


def test_every_path_is_in_the_table() -> None:
    named = re.findall(r"^\| (`/.+?) \|", PAGE, re.MULTILINE)
    words = set(re.findall(r"\w+", " ".join(named)))
    parts = {part for family in FAMILIES for one in family(MagicMock()).endpoints() for part in one.path.split("/")}
    assert {part for part in parts if part and "{" not in part} <= words
