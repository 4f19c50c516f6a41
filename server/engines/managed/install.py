"""The engine's own virtual environment, and the expanded demo model, under $PORTICO_HOME.

    engines/<kind>-<hash12>/            the environment; <hash12> covers lock, recipe and Python version
    engines/<kind>-<hash12>/.complete   written last: without it the environment is never used
    engines/<kind>-<hash12>.log         pip's own words
    engines/<kind>-<hash12>.lock        held (flock) by whoever installs, and by the pip it started
    models/gpt-oss-demo-<hash12>/       the demo model; expand.py writes it elsewhere and renames it

Virtual environments cannot be moved, so one is built where it will stay. An interrupted one is thrown away and
built again: a half-unpacked package can look whole, and pip's cache makes the second try quick.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import platform
import shutil
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from rich.console import Console

from server.config import shipped
from server.engines.managed import pip_output
from server.engines.managed.errors import EngineSetupError
from server.engines.managed.hardware import disk_free_mib
from server.engines.managed.progress import Progress
from server.engines.managed.recipe import EngineKind, Recipe, recipe
from server.engines.managed.run_logged import Runner, run_logged

DEMO_SOURCE = Path(__file__).parent / "demo"
MARKER = ".complete"
DEMO_DISK_MIB = 512


@dataclass(frozen=True)
class Installed:
    """An engine that can be started."""

    python: Path
    demo_model: Path | None  # where it was asked for


def python_tag() -> str:
    """The Python that engine environments are built from: this one."""
    return f"{sys.implementation.cache_tag}-{platform.machine()}"


def engine_recipe(kind: EngineKind) -> Recipe:
    return recipe(kind, shipped(f"requirements/engine-{kind}.lock"), python_tag())


def is_complete(environment: Path) -> bool:
    """Whether the environment may be used: its marker is there, and so is the Python it was built from."""
    return (environment / MARKER).is_file() and (environment / "bin/python").exists()


def demo_folder(home: Path, source: Path = DEMO_SOURCE) -> Path:
    """Where this version of the demo model is expanded."""
    digest = hashlib.sha256()
    for path in sorted(path for path in source.rglob("*") if path.is_file() and "__pycache__" not in path.parts):
        digest.update(f"{path.relative_to(source)}:{path.stat().st_size}\n".encode())
        digest.update(path.read_bytes())
    return home / "models" / f"gpt-oss-demo-{digest.hexdigest()[:12]}"


def find(kind: EngineKind, home: Path, *, demo: bool) -> Installed | None:
    """What is installed already, or None where something is missing."""
    environment = home / "engines" / engine_recipe(kind).key
    model = demo_folder(home) if demo else None
    if not is_complete(environment) or (model is not None and not model.is_dir()):
        return None
    return Installed(environment / "bin/python", model)


def install(kind: EngineKind, home: Path, console: Console, *, demo: bool) -> Installed:
    """Install what is missing, with progress on `console`. Raises `EngineSetupError`."""
    found = find(kind, home, demo=demo)
    if found is not None:
        return found
    wanted = engine_recipe(kind)
    try:
        return Installer(wanted, home, console).run(demo=demo)
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        raise EngineSetupError(
            f"The engine cannot be installed under {home}: {where}{error.strerror}; set PORTICO_HOME to another folder."
        ) from None


class Installer:
    """One installation. `run` is swapped in tests."""

    def __init__(
        self, wanted: Recipe, home: Path, console: Console, run: Runner = run_logged, demo_source: Path = DEMO_SOURCE
    ) -> None:
        self._recipe = wanted
        self._home = home
        self._console = console
        self._run = run
        self._demo_source = demo_source
        self.environment = home / "engines" / wanted.key
        self.log_path = self.environment.with_name(f"{wanted.key}.log")

    def run(self, *, demo: bool) -> Installed:
        self.environment.parent.mkdir(parents=True, exist_ok=True)
        with self._alone() as held_fd:
            # Looked at again under the lock: whoever held it may have installed everything meanwhile.
            build = not is_complete(self.environment)
            expand = demo and not demo_folder(self._home, self._demo_source).is_dir()
            if build or expand:
                self._check_disk(build)
                total = (len(self._recipe.steps) + 2 if build else 0) + expand
                with self.log_path.open("wb") as log, Progress(self._console, total) as progress:
                    if build:
                        self._build(log, held_fd, progress)
                    if expand:
                        self._expand(log, held_fd, progress)
        model = demo_folder(self._home, self._demo_source) if demo else None
        return Installed(self.environment / "bin/python", model)

    def _build(self, log: BinaryIO, held_fd: int, progress: Progress) -> None:
        python = str(self.environment / "bin/python")
        progress.step(f"virtual environment in {self.environment}")
        if self.environment.exists():
            progress.detail("removing an interrupted installation")
            shutil.rmtree(self.environment)
        self._do([sys.executable, "-m", "venv", str(self.environment)], log, held_fd, progress)
        for step in self._recipe.steps:
            progress.step(step.title)
            self._do([python, "-m", "pip", "install", "--progress-bar", "off", *step.pip], log, held_fd, progress)
        progress.step("checking that it works")
        self._do([python, "-I", "-c", "import " + ", ".join(self._recipe.imports)], log, held_fd, progress)
        facts = {"vllm": self._recipe.version, "python": python_tag(), "installed": int(time.time())}
        marker = self.environment / f"{MARKER}.new"
        marker.write_text(json.dumps(facts) + "\n", encoding="utf-8")
        os.sync()  # a marker must not survive a power cut that the packages did not
        marker.rename(self.environment / MARKER)

    def _expand(self, log: BinaryIO, held_fd: int, progress: Progress) -> None:
        script = self._demo_source / "expand.py"
        if not script.is_file():
            raise EngineSetupError(
                "The demo model is not part of this installation; name a model in engines.local.managed.model."
            )
        progress.step("demo model gpt-oss-demo")
        target = demo_folder(self._home, self._demo_source)
        target.parent.mkdir(parents=True, exist_ok=True)
        self._do([str(self.environment / "bin/python"), str(script), "--out", str(target)], log, held_fd, progress)
        if not target.is_dir():
            raise EngineSetupError(f"The demo model was not written to {target}; see {self.log_path}.")

    def _do(self, command: list[str], log: BinaryIO, held_fd: int, progress: Progress) -> None:
        """Run one command; its failure becomes one line that names the reason and the log."""
        lines: list[str] = []

        def on_line(line: str) -> None:
            if not line:
                progress.tick()
                return
            lines.append(line)
            phrase = pip_output.working_on(line)
            if phrase:
                progress.detail(phrase)

        log.write(f"$ {' '.join(command)}\n".encode())
        log.flush()
        status = self._run(command, log, held_fd, on_line)
        if status == 0:
            return
        if "venv" in command and any("ensurepip" in line for line in lines):
            why = "this Python has no venv module; on Debian and Ubuntu: apt install python3-venv"
        else:
            why = pip_output.reason(lines[-400:])
        raise EngineSetupError(f"The engine was not installed: {why} (all of it in {self.log_path}).")

    def _check_disk(self, build: bool) -> None:
        needed = self._recipe.disk_mib if build else DEMO_DISK_MIB
        free = disk_free_mib(self._home)
        if free < needed:
            raise EngineSetupError(
                f"The engine needs {needed / 1024:.1f} GiB of disk under {self._home} and {free / 1024:.1f} GiB is "
                "free: make room, or set PORTICO_HOME to a folder on a larger disk."
            )

    @contextmanager
    def _alone(self) -> Generator[int]:
        """Hold the installation's lock; wait for another installer, saying so."""
        fd = os.open(self.environment.with_name(f"{self._recipe.key}.lock"), os.O_RDWR | os.O_CREAT, 0o600)
        began = spoke = time.monotonic()
        try:
            while True:
                try:
                    fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if spoke == began or time.monotonic() - spoke > 15:
                        spoke = time.monotonic()
                        self._console.print(
                            f"Another Portico is installing this engine: waiting ({spoke - began:.0f} s)."
                        )
                    time.sleep(0.5)
            yield fd
        finally:
            os.close(fd)
