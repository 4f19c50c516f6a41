"""Codex CLI and Claude Code, unchanged, over a scripted engine: what the model wants of their tools is the script's."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from tests.behaviour.engine_double import EngineDouble, answer
from tests.behaviour.serving import KEY, MODEL, Gate, portico
from tests.behaviour.vllm import Reply
from tests.coding_tools.tools import claude, codex, folder, programs
from tests.npm import INSTALL_S

__all__ = ["folder", "programs"]

PROMPT = "Make the greeting English."
WIDE: Any = {"context_length": 131_072}
DOT = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="  # one pixel, PNG
)
PATCH = "*** Begin Patch\n*** Update File: greeting.txt\n@@\n-Guten Tag\n+Good day\n*** End Patch\n"
pytestmark = [pytest.mark.timeout(INSTALL_S + 60), pytest.mark.usefixtures("programs")]


def root(gate: Gate) -> str:
    return gate.url.removesuffix("/v1")


def calling(number: int, name: str, **arguments: Any) -> Reply:
    """`number`: of this call among all of the script."""
    return Reply("", reasoning="I go on.", tool_calls=((name, json.dumps(arguments)),), first_call=number)


def results(body: dict[str, Any]) -> list[str]:
    return [str(message["content"]) for message in body["messages"] if message["role"] == "tool"]


def reasoning(body: dict[str, Any]) -> list[str | None]:
    """What the model is shown of its own."""
    return [message.get("reasoning") for message in body["messages"] if message["role"] == "assistant"]


def offered(body: dict[str, Any]) -> set[str]:
    return {tool["function"]["name"] for tool in body["tools"]}


async def test_codex_runs_a_command_and_changes_a_file(folder: Path) -> None:
    async with EngineDouble() as engine, portico(engine, model=WIDE) as gate:
        engine.plan(
            answer(calling(0, "exec_command", cmd="cat greeting.txt")),
            answer(calling(1, "apply_patch", input=PATCH)),
            answer(calling(2, "multi_agent_v1__close_agent", target="nobody")),
            answer(Reply("It is English now.", reasoning="All is done.")),
        )
        said = await codex(root(gate), KEY, folder, PROMPT)
        assert (said.status, said.elsewhere) == (0, []), said
        assert (folder / "greeting.txt").read_text() == "Good day\n"
        assert len(engine.calls) == 4
        assert {"exec_command", "apply_patch", "multi_agent_v1__spawn_agent"} <= offered(engine.calls[0].json)
        read, patched, closed = results(engine.calls[-1].json)
        assert "Guten Tag" in read
        assert "greeting.txt" in patched
        assert "nobody" in closed
        assert reasoning(engine.calls[-1].json) == ["I go on."] * 3
        items = [line["item"] for line in said.lines if line["type"] == "item.completed"]
        kinds = [item["type"] for item in items if item["type"] != "reasoning"]
        assert kinds == ["command_execution", "file_change", "agent_message"]
        assert items[-1]["text"] == "It is English now."
        assert said.lines[-1]["type"] == "turn.completed"
        assert said.lines[-1]["usage"]["output_tokens"] > 0


async def test_claude_reads_and_changes_a_file_and_runs_a_command(folder: Path) -> None:
    path = str(folder / "greeting.txt")
    async with EngineDouble() as engine, portico(engine, model=WIDE) as gate:
        engine.plan(
            answer(calling(0, "Read", file_path=path)),
            answer(calling(1, "Edit", file_path=path, old_string="Guten Tag", new_string="Good day")),
            answer(calling(2, "Bash", command="cat greeting.txt", description="Look")),
            answer(Reply("It is English now.", reasoning="All is done.")),
        )
        allowed = ("--permission-mode", "acceptEdits", "--allowedTools", "Bash(cat:*)")
        said = await claude(root(gate), KEY, folder, PROMPT, *allowed)
        assert (said.status, said.elsewhere) == (0, []), said
        assert (folder / "greeting.txt").read_text() == "Good day\n"
        assert len(engine.calls) == 4
        read, edited, shown = results(engine.calls[-1].json)
        assert "Guten Tag" in read
        assert "greeting.txt" in edited
        assert "Good day" in shown
        assert reasoning(engine.calls[-1].json) == ["I go on."] * 3
        told = json.loads(said.out)
        assert (told["is_error"], told["result"], told["num_turns"]) == (False, "It is English now.", 4)
        assert told["permission_denials"] == []
        assert told["modelUsage"].keys() == {MODEL}


async def test_claude_finds_a_tool_that_it_had_not_offered(folder: Path) -> None:
    async with EngineDouble() as engine, portico(engine, model=WIDE) as gate:
        engine.plan(answer(calling(0, "ToolSearch", query="select:NotebookEdit")), answer("There it is."))
        said = await claude(root(gate), KEY, folder, "Find the tool for notebooks.")
        assert (said.status, json.loads(said.out)["result"]) == (0, "There it is."), said
        first, second = (call.json for call in engine.calls)
        assert "NotebookEdit" not in offered(first)
        assert offered(second) == offered(first) | {"NotebookEdit"}


async def test_claude_opens_a_picture_and_goes_on(folder: Path) -> None:
    (folder / "dot.png").write_bytes(base64.b64decode(DOT))
    async with EngineDouble() as engine, portico(engine, model=WIDE) as gate:
        engine.plan(answer(calling(0, "Read", file_path=str(folder / "dot.png"))), answer("I cannot see it."))
        said = await claude(root(gate), KEY, folder, "What is in dot.png?")
        assert (said.status, json.loads(said.out)["result"]) == (0, "I cannot see it."), said
        (result,) = results(engine.calls[-1].json)
        assert "Left out: image" in result
