"""The first policy of docs/moderation.md does what the page shows."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from textwrap import dedent

import pytest

from tests.commands.shell import Shell

PAGE = (Path(__file__).parent.parent.parent / "docs/moderation.md").read_text(encoding="utf-8")
SECTION = re.search(r"^## Your first policy in five minutes$(.*?)^## ", PAGE, re.MULTILINE | re.DOTALL)


def blocks() -> list[str]:
    """The indented ones."""
    assert SECTION is not None
    return [dedent(one).strip("\n") for one in re.findall(r"(?:^    .*\n|^\n(?=    ))+", SECTION[1], re.MULTILINE)]


def test_what_the_page_shows(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PORTICO_HOME", str(tmp_path))
    monkeypatch.delenv("PORTICO_CONFIG", raising=False)
    monkeypatch.chdir(tmp_path)
    policy, session = blocks()
    (tmp_path / "first.yaml").write_text(policy, encoding="utf-8")
    portico = Shell(capsys, monkeypatch)
    shown = re.split(r"^\$ portico ", session, flags=re.MULTILINE)[1:]
    assert len(shown) == 2
    for one in shown:
        command, _, output = one.partition("\n")
        assert portico(*shlex.split(command)) == output.strip("\n")
