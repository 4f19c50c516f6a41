"""Projects, keys, admin keys, audit log and usage from the command line, on a database of their own."""

from __future__ import annotations

import asyncio
import os
import pwd
import sqlite3
import time
from base64 import b64encode
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from server.auth.secrets import digest_of, parse_secret, tag_key
from server.call import Key, Project
from server.config import Limit
from server.moderation.decisions import Decision, Excerpt, Match
from server.moderation.record import record_of
from server.stores.aes_gcm import AesGcm
from server.stores.records import UsageRecord
from server.stores.sql.opening import open_durable
from server.stores.sql.store import SqlStore
from tests.commands import shell
from tests.contract.test_decisions import a_decision, decided
from tests.contract.test_ledger import T

URL = "sqlite:///var/portico.db"


class Shell(shell.Shell):
    def __init__(self, home: Path, capsys: pytest.CaptureFixture[str], patch: pytest.MonkeyPatch) -> None:
        super().__init__(capsys, patch)
        self.home = home

    def on_store(self, work: Callable[[SqlStore], Any]) -> Any:
        async def run() -> Any:
            store = await open_durable(URL, self.home)
            try:
                return await work(store)
            finally:
                await store.close()

        return asyncio.run(run())


@pytest.fixture
def portico(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Shell:
    monkeypatch.setenv("PORTICO_HOME", str(tmp_path))
    monkeypatch.delenv("PORTICO_CONFIG", raising=False)
    monkeypatch.delenv("SUDO_USER", raising=False)
    return Shell(tmp_path, capsys, monkeypatch)


def test_a_key_alone_on_standard_output(portico: Shell) -> None:
    secret = portico("keys", "create")
    assert "\n" not in secret and "default" in portico.err and secret not in portico.err

    async def check(store: SqlStore) -> None:
        kind, lookup = parse_secret(secret, tag_key(await store.server_secret())) or ("", "")
        found = await store.find_key(lookup)
        assert kind == "key" and found is not None
        assert found[0].digest == digest_of(secret) and found[1].name == "default"

    portico.on_store(check)
    again = portico("keys", "create", "second")
    assert again != secret and len(portico.json("projects", "list")) == 1, "the project is made once"
    everything = "".join([portico("keys", "list"), portico("audit", "list"), portico("keys", "list", "--json")])
    assert secret not in everything and digest_of(secret) not in everything
    assert secret.encode() not in b"".join(file.read_bytes() for file in (portico.home / "var").iterdir())


def test_all_that_a_key_may_do(portico: Shell) -> None:
    project = portico("projects", "create", "team", "--weight", "2", "--limit", "requests_per_day=1_000")
    made = portico.json(
        *("keys", "create", "app", "--project", project, "--models", "a,b", "--endpoints", "completions"),
        *("--limit", "tokens_per_minute=10", "--limit", "spend_per_month=2.5", "--priority", "batch"),
        *("--reasoning", "hidden", "--policy", "strict", "--note", "笔记", "--expires", "2d"),
    )
    assert made.pop("value").startswith("sk-portico-")
    assert (made["project_id"], made["models"], made["endpoints"]) == (project, ["a", "b"], ["completions"])
    assert made["limits"] == {"tokens_per_minute": 10, "spend_per_month": 2.5}
    assert (made["priority"], made["reasoning"], made["policy"], made["note"]) == ("batch", "hidden", "strict", "笔记")
    assert made["expires_at"] - made["created_at"] == 2 * 86_400
    assert portico.json("keys", "show", made["id"]) == made
    assert portico.json("keys", "list", "--project", "team") == [made]
    assert "笔记" in portico("keys", "show", made["id"])
    shown = portico.json("projects", "show", "team")
    assert (shown["weight"], shown["limits"]) == (2.0, {"requests_per_day": 1000})


def test_revoked_and_rotated(portico: Shell) -> None:
    portico("keys", "create", "app")
    (old,) = portico.json("keys", "list")
    secret = portico("keys", "rotate", old["id"], "--overlap", "12h")
    assert secret.startswith("sk-portico-") and old["id"] in portico.err
    new, kept = portico.json("keys", "list")
    assert (new["name"], kept["id"], new["expires_at"]) == ("app", old["id"], None)
    assert 0 <= kept["expires_at"] - time.time() - 12 * 3600 + 30 < 60
    assert portico("keys", "revoke", new["id"]) == "" and new["redacted_value"] in portico.err
    assert [one["id"] for one in portico.json("keys", "list")] == [old["id"]]
    assert [one["status"] for one in portico.json("keys", "list", "--revoked")] == ["revoked", "active"]
    assert "revoked" in portico.fails("keys", "rotate", new["id"])


def test_projects(portico: Shell) -> None:
    made = portico("projects", "create", "team")
    portico("projects", "change", "team", "--name", "Team 甲", "--weight", "3", "--limit", "tokens_per_day=5")
    portico("projects", "change", made, "--limit", "concurrent_requests=2", "--model-limit", "a:b:tokens_per_minute=7")
    shown = portico.json("projects", "show", "Team 甲")
    assert (shown["id"], shown["weight"]) == (made, 3.0)
    assert shown["limits"] == {"tokens_per_day": 5, "concurrent_requests": 2}
    assert shown["model_limits"] == {"a:b": {"tokens_per_minute": 7}}
    portico("projects", "change", made, "--limit", "tokens_per_day=none", "--model-limit", "a:b:tokens_per_minute=none")
    shown = portico.json("projects", "show", made)
    assert (shown["limits"], shown["model_limits"]) == ({"concurrent_requests": 2}, {})
    assert portico("projects", "archive", made) == ""
    assert portico.json("projects", "list") == []
    assert [one["status"] for one in portico.json("projects", "list", "--archived")] == ["archived"]
    assert "archived" in portico.fails("keys", "create", "--project", made)
    assert "no project" in portico.fails("keys", "create", "--project", "Team 甲")


def test_policy_of_a_project(portico: Shell) -> None:
    made = portico("projects", "create", "team", "--policy", "strict")
    assert portico.json("projects", "show", made)["policy"] == "strict"
    portico("projects", "change", "team", "--weight", "2")
    assert "strict" in portico("projects", "list")
    assert portico.json("projects", "change", "team", "--policy", "privacy")["policy"] == "privacy"
    assert portico.json("projects", "change", "team", "--no-policy")["policy"] is None
    portico("projects", "change", "team", "--policy", "a", "--no-policy", status=2)
    assert "policy" in portico.fails("projects", "change", "team", "--policy", " ", status=2)


def test_names_that_several_have(portico: Shell) -> None:
    ids = [portico("projects", "create", "twin") for _ in range(2)]
    line = portico.fails("projects", "show", "twin")
    assert all(one in line for one in ids)


def test_admin_keys(portico: Shell) -> None:
    secret = portico("admin-keys", "create", "ops", "--expires", "90d")
    assert secret.startswith("sk-portico-admin-") and "\n" not in secret
    (listed,) = portico.json("admin-keys", "list")
    assert (listed["name"], listed["expires_at"] - listed["created_at"]) == ("ops", 90 * 86_400)
    assert secret not in portico("admin-keys", "list")
    portico("admin-keys", "revoke", listed["id"])
    assert portico.json("admin-keys", "list") == []
    assert "no admin key" in portico.fails("admin-keys", "revoke", listed["id"])


def test_who_did_it(portico: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("USER", "somebody-else")
    project = portico("projects", "create", "team")
    monkeypatch.setenv("SUDO_USER", "alice")
    portico("projects", "archive", project)
    user = pwd.getpwuid(os.getuid()).pw_name
    archived, made = portico.json("audit", "list", "--project", project)
    assert (made["event"], made["actor"], made["subject"]) == ("project.created", f"command_line:{user}", project)
    assert (archived["actor"], archived["actor_id"]) == ("command_line:alice", user)
    assert [one["event"] for one in portico.json("audit", "list", "--events", "project.created")] == ["project.created"]
    assert portico.json("audit", "list", "--since", "2999-01-01") == []
    assert len(portico.json("audit", "list", "--limit", "1")) == 1


def test_the_audit_log_is_verified(portico: Shell) -> None:
    for name in "abc":
        portico("projects", "create", name)
    assert portico("audit", "verify") == "" and "3 records" in portico.err
    found = portico.json("audit", "verify")
    assert (found["intact"], found["records"], len(found["hash"])) == (True, 3, 64)
    with sqlite3.connect(portico.home / "var/portico.db") as database:
        database.execute('update audit set details = \'{"name":"x"}\' where seq = 2')
    database.close()
    assert "record 2" in portico.fails("audit", "verify")
    found = portico.json("audit", "verify", status=1)
    assert found["intact"] is False and "record 2" in found["fault"]
    assert found["decisions"] == {"intact": True, "fault": None, "records": 0, "removed": 0, "hash": None}


def test_decisions_are_listed_and_verified(portico: Shell) -> None:
    portico.on_store(lambda store: store.add_usage([decided(number) for number in range(4)]))
    assert "log of decisions is intact: 4 records." in (portico("audit", "verify"), portico.err)[1]
    assert portico("audit", "list").count("\n") == 0, "changes, of which there is none"
    head, first, *_ = portico("audit", "list", "--decisions").splitlines()
    assert head.split()[:5] == ["SEQ", "TIME", "ACTOR", "EVENT", "SUBJECT"]
    assert first.split()[0] == "4" and "key:app" in first and "rules=灯笼" in first
    (one,) = portico.json("audit", "list", "--decisions", "--limit", "1", "--events", "moderation.block")
    assert one["details"]["matches"] == a_decision(3).details["matches"]
    assert [one["seq"] for one in portico.json("audit", "list", "--decisions", "--project", "proj_0")] == [4, 1]
    portico.on_store(lambda store: store.cut_log("decisions", T + 2, 100))
    portico("audit", "verify")
    assert "4 records, the first 2 of them removed by retention." in portico.err
    with sqlite3.connect(portico.home / "var/portico.db") as database:
        database.execute("delete from decisions where seq = 3")
    database.close()
    assert "The log of decisions was tampered with: record 3 is missing" in portico.fails("audit", "verify")
    found = portico.json("audit", "verify", status=1)
    assert found["intact"] is True and found["decisions"]["intact"] is False


def test_excerpts_are_decrypted_for_who_has_the_key(portico: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    key, other = (b64encode(bytes((number,)) * 32).decode() for number in (1, 2))
    who, sealing = Key("key_1", "app", Project("proj_1", "team")), AesGcm(key)
    calls: list[UsageRecord] = []
    for number in range(3):
        match = Match("codename", "own", "block", "rules", "messages[0].content", 2, 6)
        facts = (f"req_{number}", "proj_1", "key_1", "house", 1, "hash", "input", "block", (match,), 0)
        excerpts = (Excerpt(0, 0, f"a bomb\n\x1b[2J{number}"),) if number < 2 else ()
        decision = Decision(*facts, {}, {}, 1.0, 0.0, "hmac", None, excerpts)  # type: ignore[arg-type]
        decisions = (record_of(decision, who, 0, T + number, sealing),)
        calls.append(msgspec.structs.replace(decided(number), decisions=decisions))
    portico.on_store(lambda store: store.add_usage(calls))
    assert "stores.encryption.key" in portico.fails("audit", "excerpts")
    monkeypatch.setenv("PORTICO__STORES__ENCRYPTION__KEY", key)
    head, first, second = portico("audit", "excerpts").splitlines()
    assert head.split() == ["SEQ", "TIME", "REQUEST", "RULE", "WHERE", "START", "TEXT"]
    assert r"a bomb\u000a\u001b[2J1" in first and "req_0" in second
    (one,) = portico.json("audit", "excerpts", "--request", "req_0")
    assert (one["text"], one["match"], one["rule"]) == ("a bomb\n\x1b[2J0", [2, 6], "codename")
    assert [row["request"] for row in portico.json("audit", "excerpts", "--limit", "1")] == ["req_1"]
    assert portico.json("audit", "excerpts", "--project", "nobody") == []
    assert "bomb" not in portico("audit", "list", "--decisions", "--json")
    monkeypatch.setenv("PORTICO__STORES__ENCRYPTION__KEY", other)
    assert "stores.encryption" in portico.fails("audit", "excerpts")


def test_usage(portico: Shell) -> None:
    project = portico("projects", "create", "team")
    key = portico.json("keys", "create", "app", "--project", project)["id"]
    noon = 1_750_075_200  # 2025-06-16

    def used(number: int, at: float, project_id: str, key_id: str) -> UsageRecord:
        counts: dict[str, Any] = {"prompt": 10, "cached": 4, "completion": 5, "reasoning": 2, "cost": 250_000}
        return UsageRecord(
            f"c{number}", at, project_id, key_id, "m", "completions", "batch", "ok", 200, **counts
        )  # fmt: skip

    records = [used(1, noon, project, key), used(2, noon + 5, project, key), used(3, noon + 86_400, "lab", "static:x")]
    portico.on_store(lambda store: store.add_usage(records))
    rows = portico.json("usage", "--since", "2025-06-16")
    assert [(one["day"], one["project"], one["key"], one["requests"], one["cost"]) for one in rows] == [
        ("2025-06-16", "team", "app", 2, 0.5),
        ("2025-06-17", "lab", "static:x", 1, 0.25),
    ]
    (row,) = portico.json("usage", "--since", "2025-06-16", "--by", "model")
    assert (row["model"], row["prompt"], row["cached"], row["completion"], row["requests"]) == ("m", 30, 12, 15, 3)
    assert len(portico.json("usage", "--since", "2025-06-16", "--until", "2025-06-17", "--by", "day")) == 1
    assert len(portico.json("usage", "--since", "2025-06-16", "--project", "team")) == 1
    assert portico.json("usage") == []
    lines = portico("usage", "--since", "2025-06-16").splitlines()
    assert lines[0].split()[:4] == ["DAY", "PROJECT", "KEY", "MODEL"] and lines[1].split()[:3] == [
        "2025-06-16",
        "team",
        "app",
    ]


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["projects", "create", ""], "portico: name: "),
        (["projects", "create", "a\nb"], "portico: name: "),
        (["projects", "create", "a", "--weight", "0"], "portico: weight: "),
        (["projects", "create", "a", "--limit", "tokens_per_day=0"], "portico: limits.tokens_per_day: "),
        (["keys", "create", "--priority", "first"], "portico: priority: "),
        (["keys", "create", "--endpoints", "chat"], "portico: endpoints[0]: "),
        (["keys", "create", "--expires", "0"], "portico: expires_in_seconds: "),
        (["usage", "--by", "hour"], "hour"),
        (["usage", "--since", "2999-01-01"], "--since"),
        (["audit", "list", "--limit", "0"], "--limit"),
    ],
)
def test_wrong_use(portico: Shell, words: list[str], named: str) -> None:
    assert named in portico.fails(*words, status=2)


@pytest.mark.parametrize(
    "words",
    [
        ["projects"],
        ["projects", "create", "a", "--limit", "per_week=1"],
        ["projects", "create", "a", "--limit", "tokens_per_day=x"],
        ["projects", "change", "a", "--model-limit", "tokens_per_day=1"],
        ["keys", "create", "--expires", "soon"],
        ["usage", "--since", "yesterday"],
    ],
)
def test_what_the_parser_refuses(portico: Shell, words: list[str]) -> None:
    assert portico(*words, status=2) == "" and "error:" in portico.err


@pytest.mark.parametrize(
    "words",
    [
        ["keys", "show", "key_1"],
        ["keys", "revoke", "key_1"],
        ["projects", "show", "a"],
        ["keys", "list", "--project", "a"],
    ],
)
def test_what_is_not_there(portico: Shell, words: list[str]) -> None:
    assert "There is no" in portico.fails(*words)


def test_a_database_that_cannot_be_reached(portico: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORTICO__STORES__DURABLE", "postgresql://user:pass-word@127.0.0.1:1/none")
    assert "pass-word" not in portico.fails("keys", "list")


def test_lines_are_one_under_another(portico: Shell) -> None:
    portico("projects", "create", "团队")
    portico("projects", "create", "team", "--limit", "tokens_per_day=5")
    head, first, second = portico("projects", "list").splitlines()
    assert first.endswith("tokens_per_day=5") and second.endswith("-")
    assert head.index("STATUS") == first.index("active") == second.index("active") + 2, "two letters are twice as wide"


def test_limits_are_kept_as_limits(portico: Shell) -> None:
    project = portico("projects", "create", "team", "--limit", "spend_per_month=9.5")
    kept = portico.on_store(lambda store: store.project(project))
    assert kept.limits == Limit(spend_per_month=9.5)
