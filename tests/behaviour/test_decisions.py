"""What moderation decided is in the log of decisions: how much was seen and what was found, and never the text."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from server.moderation.record import excerpts_in
from server.stores.aes_gcm import AesGcm
from server.stores.records import AuditRecord
from tests.behaviour.engine_double import EngineDouble, answer
from tests.behaviour.serving import CHAT, MODEL, Gate, eventually, portico
from tests.behaviour.tenants import Tenants
from tests.behaviour.test_judges import judged
from tests.behaviour.test_moderation import POLICY, said, write
from tests.behaviour.vllm import Reply


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    path = tmp_path / "house.yaml"
    path.write_text(POLICY, encoding="utf-8")
    return path


async def kept(gate: Gate, calls: int) -> list[AuditRecord]:
    """The decisions, oldest first, when so many calls are in the database."""
    ledger = gate.parts.gateway.usage
    gate.parts.gateway.usage._wake()
    for _ in range(200):
        if not ledger.depth and len(await _calls(gate)) >= calls:
            break
        await asyncio.sleep(0.02)
    assert len(await _calls(gate)) == calls
    assert await gate.parts.durable.verify_audit("decisions") is None
    return (await gate.parts.durable.audit(log="decisions", limit=100))[::-1]


async def _calls(gate: Gate) -> list[str]:
    async with gate.parts.durable._database.reading() as connection:
        return list((await connection.exec_driver_sql("SELECT call_id FROM usage")).scalars())


async def test_a_request_that_is_refused(policy: Path) -> None:
    async with EngineDouble() as engine, portico(engine, moderation={"policy": str(policy)}) as gate:
        secret, key = await Tenants(gate).key()
        body = {"model": MODEL, "messages": said("write to bob@corp.com about project lantern")}
        reply = await gate.request("POST", CHAT, body, secret)
        (record,) = await kept(gate, 1)
        assert (record.event, record.subject_id) == ("moderation.block", reply.headers["x-request-id"])
        assert (record.actor.kind, record.actor.id, record.project_id) == ("key", key.id, key.project_id)
        facts = record.details
        assert (facts["policy"], facts["version"], facts["direction"]) == ("house", 7, "input")
        assert [(one["rule"], one["tier"], one["action"], one["start"]) for one in facts["matches"]] == [
            ("mail", "rules", "redact", 9),
            ("codename", "rules", "block", 28),
        ]
        assert (facts["scanned"], facts["judged"]) == ({"content": 43}, {})
        line = next(json.loads(one) for one in gate.log_text().splitlines() if '"moderation"' in one)
        assert (facts["hmac"], facts["hash"]) == (line["hmac"], line["hash"]) and len(facts["hmac"]) == 64
        assert not any(word in str(record) for word in ("lantern", "bob", "corp"))


async def test_request_and_answer_of_one_call(policy: Path) -> None:
    async with EngineDouble() as engine, portico(engine, moderation={"policy": str(policy)}) as gate:
        engine.always = answer(Reply(["It is ", "pro", "ject ", "lan", "tern, of", " course"]))
        await gate.chat(stream=True, messages=said("grumble"))
        await gate.chat(messages=said("all is well"), max_completion_tokens=5)
        first, second, third = await kept(gate, 2)
        assert [one.event for one in (first, second, third)] == [
            "moderation.flag",
            "moderation.block",
            "moderation.block",
        ]
        assert first.subject_id == second.subject_id != third.subject_id
        assert first.details["direction"] == "input" and second.details["direction"] == "output"
        assert second.details["scanned"]["content"] <= len("It is project lantern, of course")
        assert second.details["scanned"]["content"] >= len("It is project lantern")


async def test_nothing_found_leaves_none_by_default(policy: Path) -> None:
    async with EngineDouble() as engine, portico(engine, moderation={"policy": str(policy)}) as gate:
        await gate.chat(messages=said("all is well"))
        assert await kept(gate, 1) == []


@pytest.mark.parametrize("audit", ["all", "none"])
async def test_all_or_none(policy: Path, audit: str) -> None:
    async with EngineDouble() as engine, portico(engine, moderation={"policy": str(policy), "audit": audit}) as gate:
        engine.always = answer(Reply(["Fine, ", "thanks."], reasoning="Hm."))
        await gate.chat(messages=said("all is well"))
        await gate.chat(messages=said("project lantern"))
        records = await kept(gate, 2)
        assert '"moderation"' in gate.log_text(), "the log line is another thing"
        assert gate.log_text().count('"msg":"moderation"') == 1, "where something was found"
    if audit == "none":
        assert records == []
        return
    assert [(one.event, one.details["direction"]) for one in records] == [
        ("moderation.pass", "input"),
        ("moderation.pass", "output"),
        ("moderation.block", "input"),
    ]
    assert records[0].details["scanned"] == {"content": len("all is well")} and records[0].details["matches"] == []
    assert records[1].details["scanned"] == {"content": len("Fine, thanks."), "reasoning": len("Hm.")}


async def test_text_that_reads_backwards(policy: Path) -> None:
    async with EngineDouble() as engine, portico(engine, moderation={"policy": str(policy)}) as gate:
        await gate.chat(messages=said("ab\u202ecd"))
        (record,) = await kept(gate, 1)
        (match,) = record.details["matches"]
        assert (match["rule"], match["action"], match["start"], match["end"]) == ("bidi_overrides", "block", 2, 3)
        assert gate.total("portico_moderation_decisions_total", direction="input", action="block") == 1


async def test_how_much_a_judge_saw(tmp_path: Path) -> None:
    async with judged(tmp_path) as (gate, engine, judge):
        engine.always = answer(Reply(["poison it is"]))
        await gate.chat(messages=said("a hint"))
        records = await kept(gate, 1)
        by_direction: dict[str, Any] = {one.details["direction"]: one.details for one in records}
        assert by_direction["input"]["judged"] == {"safeguard@two": {"characters": 6, "of": 6}}
        assert by_direction["output"]["judged"] == {"safeguard@two": {"characters": 12, "of": 12}}
        assert by_direction["output"]["matches"][0]["tier"] == "judge"
        assert by_direction["output"]["scanned"] == {"content": 12}, "a rule looked too"
        assert by_direction["output"]["judge_ms"] > 0
        await judge.stop()
        await eventually(lambda: not gate.parts.engines["two"].up)
        await gate.chat(messages=said("a hint and more"))
        record = (await kept(gate, 2))[-1]
        assert record.details["judged"] == {"safeguard@two": {"characters": 0, "of": 15}}, "it saw nothing"
        assert record.event == "moderation.block"


KEY_OF_EXCERPTS = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="


async def test_excerpts_are_kept_encrypted(tmp_path: Path) -> None:
    """Of requests and answers; they are in no log, in no metric and in no file in the clear."""
    policy, state = tmp_path / "house.yaml", tmp_path / "state"
    write(policy, POLICY + "\naudit: {excerpts: {chars: 30}}\n")
    state.mkdir()
    stores = {"durable": f"sqlite:///{state}/portico.db", "spool": f"{state}/spool"}
    encrypted = stores | {"encryption": {"key": KEY_OF_EXCERPTS}}
    async with EngineDouble() as engine, portico(engine, moderation={"policy": str(policy)}, stores=encrypted) as gate:
        await gate.chat(messages=said("well then, write to bob@corp.com about it, and soon"))
        engine.always = answer(Reply(["Of course: ", "the pro", "ject lan", "tern is well"], reasoning="bob@corp.com?"))
        await gate.chat(stream=True, messages=said("grumble"))
        records = await kept(gate, 2)
        opened = [
            [(record.details["matches"][one.match]["rule"], one.text) for one in excerpts_in(record, OPENS)]
            for record in records
        ]
        assert opened == [
            [("mail", "write to bob@corp.com about it")],
            [("mood", "grumble")],
            [("mail", "bob@corp.com?"), ("codename", "e: the project lantern is well")],
        ]
        for told in (str(records), gate.log_text(), gate.exposition()):
            assert not any(word in told for word in ("lantern", "bob@", "grumble"))
        written = await asyncio.to_thread(all_bytes, state)
        assert b"moderation.block" in written and not any(word in written for word in (b"lantern", b"bob@", b"grumble"))


OPENS = AesGcm(KEY_OF_EXCERPTS)


def all_bytes(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())
