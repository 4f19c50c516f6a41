"""Codex CLI and Claude Code, unchanged, on the real engine: a turn of each, configured as the pages of docs/ say."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.coding_tools.tools import claude, codex, folder, programs
from tests.live.conftest import START_S
from tests.live.service import Service, wait_for
from tests.npm import INSTALL_S

__all__ = ["folder", "programs"]

PROMPT = "What is the capital of France?"
pytestmark = [pytest.mark.timeout(START_S + INSTALL_S + 60), pytest.mark.usefixtures("programs")]


async def test_codex_completes_a_turn(service: Service, folder: Path) -> None:
    answered = {"endpoint": "responses", "outcome": "ok"}
    before = service.metric("portico_requests_total", **answered)
    said = await codex(service.root, service.key, folder, PROMPT)
    assert (said.status, said.elsewhere) == (0, []), said
    *_, message, end = said.lines
    assert message["item"]["type"] == "agent_message"
    assert message["item"]["text"]
    assert end["type"] == "turn.completed"
    assert end["usage"]["input_tokens"] > 2000, "its instructions and tools"
    wait_for(lambda: service.metric("portico_requests_total", **answered) > before, 5, "the turn is counted")


async def test_claude_completes_a_turn(service: Service, folder: Path) -> None:
    said = await claude(service.root, service.key, folder, PROMPT, CLAUDE_CODE_MAX_OUTPUT_TOKENS="1000")
    assert (said.status, said.elsewhere) == (0, []), said
    told = json.loads(said.out)
    assert (told["subtype"], told["is_error"], told["terminal_reason"]) == ("success", False, "completed")
    assert told["result"]
    used = told["modelUsage"]["gpt-oss-20b"]
    assert used["inputTokens"] + used["cacheReadInputTokens"] > 5000, "its instructions and tools"
    assert used["outputTokens"] > 0
