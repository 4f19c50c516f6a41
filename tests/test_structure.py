"""The house rules that a reader of server/ may count on."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FILES = sorted((ROOT / "server").rglob("*.py"))
NAMES = [str(path.relative_to(ROOT)) for path in FILES]
Function = ast.FunctionDef | ast.AsyncFunctionDef


def functions(path: Path) -> list[Function]:
    return [node for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, Function)]


@pytest.mark.parametrize("path", FILES, ids=NAMES)
def test_size(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 400
    long = {one.name: size for one in functions(path) if (size := (one.end_lineno or 0) - one.lineno + 1) > 60}
    assert long == {}, "functions of more than 60 lines"


@pytest.mark.parametrize("path", FILES, ids=NAMES)
def test_no_hidden_imports_and_no_globals(path: Path) -> None:
    for function in functions(path):
        for node in ast.walk(function):
            assert not isinstance(node, ast.Import | ast.ImportFrom), f"line {node.lineno}: import in a function"
            assert not isinstance(node, ast.Global), f"line {node.lineno}: global"


@pytest.mark.parametrize("path", FILES, ids=NAMES)
def test_every_module_says_what_it_is(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert not text.strip() or ast.get_docstring(ast.parse(text)), "a module without a docstring"


def test_directions_of_imports() -> None:
    """In a process of its own: it configures logging as if it were alone."""
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stdout
