"""A command line in this process: what it prints, says and ends with."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest

from server import cli


class Shell:
    """Call it with the words of a command; `given` stands on standard input. `before` are its first words always."""

    def __init__(self, capsys: pytest.CaptureFixture[str], patch: pytest.MonkeyPatch, *before: str) -> None:
        self._capsys = capsys
        self._patch = patch
        self._before = before
        self.err = ""

    def __call__(self, *words: str, status: int = 0, given: bytes = b"") -> str:
        """What the command printed to standard output."""
        self._patch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(given)))
        self._capsys.readouterr()
        try:
            ended = cli.main([*self._before, *words])
        except SystemExit as exit_:
            ended = exit_.code
        out, self.err = self._capsys.readouterr()
        assert ended == status, self.err
        return out.removesuffix("\n")

    def json(self, *words: str, status: int = 0) -> Any:
        return json.loads(self(*words, "--json", status=status))

    def fails(self, *words: str, status: int = 1, given: bytes = b"") -> str:
        """The one line that it says instead of data."""
        assert self(*words, status=status, given=given) == ""
        assert self.err.startswith("portico: ") and self.err.count("\n") == 1
        return self.err
