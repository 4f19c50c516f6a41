"""The hot path compiled, as it is in the image: what holds of it interpreted holds of it so, too."""

from __future__ import annotations

import ast
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from tests.conftest import lacking
from tools.compile import MODULES, compile_modules

ROOT = Path(__file__).parent.parent
INTERPRETED_ONLY = {
    "tests/admission/test_slots.py::TestLife": "its ticket inherits from one that is compiled",
    "tests/behaviour/test_repeating.py": "it looks into what is compiled",
}
LEFT_OUT = (".git", ".venv", "node_modules", "__pycache__", "build", "dist", ".hypothesis", ".*_cache")
COMPILE_S = 400
SOME_S = 400
UNITS = (
    "tests/admission", "tests/answers", "tests/auth", "tests/limits", "tests/openai", "tests/stores", "tests/telemetry",
    "tests/usage", "tests/test_breaker.py", "tests/test_call.py", "tests/test_known_head.py", "tests/test_outbox.py",
)  # fmt: skip
CALLS = (
    "tests/behaviour/test_client_leaves.py", "tests/behaviour/test_embeddings.py", "tests/behaviour/test_messages.py",
    "tests/behaviour/test_metrics.py", "tests/behaviour/test_moderation.py", "tests/behaviour/test_relay.py",
    "tests/behaviour/test_responses.py", "tests/behaviour/test_tenant_limits.py", "tests/behaviour/test_usage.py",
)  # fmt: skip


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of the checkout, compiled."""
    headers = Path(sysconfig.get_path("include"), "Python.h")
    if shutil.which("gcc") is None or not headers.exists():
        lacking("gcc and Python's headers are needed: apt-get install gcc libc6-dev python3-dev")
    folder = tmp_path_factory.mktemp("compiled") / "checkout"
    shutil.copytree(ROOT, folder, ignore=shutil.ignore_patterns(*LEFT_OUT))
    compile_modules(folder)
    return folder


@pytest.mark.parametrize("module", MODULES)
def test_nothing_is_awaited_where_the_compiler_loses_exceptions(module: str) -> None:
    tree = ast.parse((ROOT / f"server/{module}.py").read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        assert not isinstance(node, ast.AsyncWith | ast.AsyncFor), f"line {node.lineno}"
        for last in getattr(node, "finalbody", ()):
            waits = [one for one in ast.walk(last) if isinstance(one, ast.Await | ast.Yield | ast.YieldFrom)]
            assert not waits, f"line {last.lineno}"


@pytest.mark.timeout(COMPILE_S)
def test_what_is_imported_is_compiled(copy: Path) -> None:
    names = [f"server.{module.replace('/', '.')}" for module in MODULES]
    code = "import importlib, sys\nfor name in sys.argv[1:]: print(importlib.import_module(name).__file__)"
    run = subprocess.run([sys.executable, "-c", code, *names], cwd=copy, capture_output=True, text=True, check=True)
    files = run.stdout.split()
    assert len(files) == len(MODULES)
    for file, module in zip(files, MODULES, strict=True):
        assert file.startswith(f"{copy}/server/{module}.")
        assert file.endswith(".so")


@pytest.mark.timeout(COMPILE_S + SOME_S)
@pytest.mark.parametrize("tests", [UNITS, CALLS], ids=["units", "calls"])
def test_it_behaves_as_its_sources_do(copy: Path, tests: tuple[str, ...]) -> None:
    passes(copy, *tests)


@pytest.mark.nightly
@pytest.mark.timeout(COMPILE_S + 3600)
def test_all_of_it_behaves_as_its_sources_do(copy: Path) -> None:
    passes(copy, "tests", "--ignore=tests/live", "--ignore=tests/deploy", "--ignore=tests/test_compiled.py")


def test_it_refuses_what_is_no_copy(tmp_path: Path) -> None:
    assert "is a checkout" in told(ROOT, 2)
    assert "there is no package `server`" in told(tmp_path, 2)


def test_what_cannot_be_compiled_is_told(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "server", tmp_path / "server", ignore=shutil.ignore_patterns("__pycache__"))
    gateway = tmp_path / "server/gateway.py"
    gateway.write_text(gateway.read_text(encoding="utf-8") + "\nWRONG: int = 'text'\n", encoding="utf-8")
    said = told(tmp_path, 1)
    assert "server/gateway.py" in said
    assert "the gateway runs interpreted" in said


def passes(copy: Path, *tests: str) -> None:
    without = [f"--deselect={test}" for test in INTERPRETED_ONLY]
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *without, *tests]
    done = subprocess.run(command, cwd=copy, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-5000:]


def told(folder: Path, status: int) -> str:
    """What the command says of `folder`, which it does not compile."""
    command = [sys.executable, "-m", "tools.compile", str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == status
    assert not list((folder / "server").rglob("*.so"))
    return done.stderr
