"""Codex CLI and Claude Code as their users run them, without a terminal: configured as the pages of docs/ say.

Each has a home of its own. What would leave loopback goes to a proxy that notes it and refuses.
"""

from __future__ import annotations

import asyncio
import json
import os
import platform
import tomllib
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import lacking
from tests.npm import installed
from tests.snippets import snippet

HERE = Path(__file__).parent
CATALOG = HERE.parents[1] / "deploy/codex/models.json"
CPUS = {"x86_64": "x64", "aarch64": "arm64"}
LONGEST_S = 50
ROOT = "http://127.0.0.1:8000"  # in the pages


@dataclass(frozen=True)
class Said:
    """What a tool ended with. `elsewhere`: the first lines of what it asked of others than Portico."""

    status: int
    out: str
    err: str
    elsewhere: list[bytes]

    @property
    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.out.splitlines()]


@pytest.fixture(scope="module")
def programs() -> Path:
    """To have them before the clock of the first test runs."""
    platform_name()
    return installed(HERE)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A project to work in."""
    one = tmp_path / "project"
    one.mkdir()
    (one / "greeting.txt").write_text("Guten Tag\n")
    return one


def platform_name() -> str:
    cpu = CPUS.get(platform.machine())
    if platform.system() != "Linux" or cpu is None:
        lacking("the programs of the coding tools are looked for on Linux only")
    return f"linux-{cpu}"


async def codex(root: str, key: str, folder: Path, prompt: str, model: str = "gpt-oss-20b") -> Said:
    """`codex exec` in a folder, with docs/responses.md's configuration for a Portico at `root`."""
    settings = snippet("responses.md", "toml", "[model_providers.portico]")
    for told, here in ((ROOT, root), ("/etc/codex/models.json", str(CATALOG)), ("gpt-oss-20b", model)):
        assert told in settings
        settings = settings.replace(told, here)
    assert tomllib.loads(settings)["model_providers"]["portico"]["base_url"] == f"{root}/v1"
    home = new_home(folder)
    (home / ".codex").mkdir(exist_ok=True)
    (home / ".codex/config.toml").write_text(settings, encoding="utf-8")
    (vendor,) = (installed(HERE) / "@openai" / f"codex-{platform_name()}" / "vendor").iterdir()
    words = ["exec", "--json", "--skip-git-repo-check", "--sandbox", "danger-full-access", prompt]
    return await run([str(vendor / "bin/codex"), *words], folder, {"HOME": str(home), "OPENAI_API_KEY": key})


async def claude(root: str, key: str, folder: Path, prompt: str, *options: str, **environ: str) -> Said:
    """`claude -p` in a folder, with docs/messages.md's environment for a Portico at `root`."""
    lines = snippet("messages.md", "sh", "ANTHROPIC_BASE_URL")
    assert ROOT in lines
    assert lines.endswith("\nclaude\n")
    script = lines.replace(ROOT, root).removesuffix("claude\n") + 'exec claude "$@"'
    program = installed(HERE) / "@anthropic-ai" / f"claude-code-{platform_name()}"
    path = f"{program}:{os.environ['PATH']}"
    words = ["-p", prompt, "--output-format", "json", *options]
    environ |= {"HOME": str(new_home(folder)), "KEY": key, "PATH": path}
    return await run(["/bin/sh", "-c", script, "claude", *words], folder, environ)


def new_home(folder: Path) -> Path:
    home = folder.with_name(f"{folder.name}-home")
    home.mkdir(exist_ok=True)
    return home


async def run(command: list[str], folder: Path, environ: dict[str, str]) -> Said:
    async with proxy() as (url, asked):
        outside = {"HTTPS_PROXY": url, "HTTP_PROXY": url, "ALL_PROXY": url, "NO_PROXY": "127.0.0.1"}
        process = await asyncio.create_subprocess_exec(
            *command, cwd=folder, stdin=DEVNULL, stdout=PIPE, stderr=PIPE,
            env={"PATH": os.environ["PATH"], **outside, **environ},
        )  # fmt: skip
        try:
            out, err = await asyncio.wait_for(process.communicate(), LONGEST_S)
        finally:
            if process.returncode is None:
                process.kill()
        return Said(process.returncode or 0, out.decode(), err.decode(), asked)


@asynccontextmanager
async def proxy() -> AsyncIterator[tuple[str, list[bytes]]]:
    asked: list[bytes] = []

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.readline())
        writer.close()

    server = await asyncio.start_server(refuse, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", asked
