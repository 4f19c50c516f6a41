"""A real `portico serve` in a process of its own, for tests: started, awaited, asked about, stopped."""

from __future__ import annotations

import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import yaml

ROOT = Path(__file__).parents[2]
TAIL = 3000  # characters of a log that a failure shows


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def wait_for(condition: Callable[[], bool], within_s: float, what: str) -> float:
    """Poll until true; the seconds that it took. Raises AssertionError that says what did not come."""
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < within_s, f"not within {within_s:g} s: {what}"
        time.sleep(0.05)
    return time.monotonic() - began


@contextmanager
def other_engine(
    command: Sequence[str], environ: Mapping[str, str], health: str, log: Path, within_s: float
) -> Iterator[None]:
    """An engine that Portico does not manage, until the block ends. Raises AssertionError with the end of its log."""
    with log.open("wb") as file:
        process = subprocess.Popen(
            command, env={**os.environ, **environ}, stdin=subprocess.DEVNULL, stdout=file, stderr=file
        )

    def answers() -> bool:
        assert process.poll() is None, log.read_text(encoding="utf-8", errors="replace")[-TAIL:]
        try:
            return httpx2.get(health, timeout=5).status_code == 200
        except httpx2.HTTPError:
            return False

    try:
        wait_for(answers, within_s, f"{health} says 200")
        yield
    finally:
        family = [Process(process.pid, _stat(process.pid), ""), *descendants(process.pid)]
        for one in family:
            if one.alive:
                os.kill(one.pid, signal.SIGKILL)
        process.wait()


@dataclass(frozen=True)
class Process:
    """A process by number and start time: the number alone may be used again."""

    pid: int
    began: str
    command: str

    @property
    def alive(self) -> bool:
        return _stat(self.pid) == self.began


def _stat(pid: int) -> str:
    """Start time of a living process, else an empty string."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] in "ZX" else fields[19]


def descendants(pid: int) -> Iterator[Process]:
    """Everything that a process started, whatever session it is in."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except OSError:
                continue
            children.setdefault(parent, []).append(int(entry.name))
    waiting = list(children.get(pid, ()))
    while waiting:
        one = waiting.pop()
        waiting += children.get(one, ())
        try:
            command = Path(f"/proc/{one}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        yield Process(one, _stat(one), command)


@dataclass(frozen=True)
class Engine:
    """vLLM itself. `root` has no /v1; its /metrics and /health ask for no key."""

    root: str
    key: str

    def count(self, *names: str) -> float:
        """The sum of some of vLLM's metrics, over all their labels."""
        text = httpx2.get(f"{self.root}/metrics", timeout=10).text
        wanted = tuple(f"vllm:{name}{{" for name in names)
        return sum(float(line.rpartition(" ")[2]) for line in text.splitlines() if line.startswith(wanted))

    @property
    def busy(self) -> float:
        """Requests that it computes or has in its queue."""
        return self.count("num_requests_running", "num_requests_waiting")


class Service:
    """`Service(config, folder)` starts; `ready` waits; `stop` asserts a clean end."""

    def __init__(self, config: dict[str, Any], folder: Path, home: Path | None = None) -> None:
        self.key = f"sk-test-{secrets.token_urlsafe(24)}"
        self.port, metrics_port = free_port(), free_port()
        self.base_url = f"http://127.0.0.1:{self.port}/v1"
        self.metrics_url = f"http://127.0.0.1:{metrics_port}/metrics"
        self.log_path = folder / "portico.log"
        self._home = home
        config = {
            "server": {"host": "127.0.0.1", "port": self.port, "shutdown_grace_s": 20, **config.pop("server", {})},
            "metrics": {"host": "127.0.0.1", "port": metrics_port},
            "logging": {"format": "json"},
            **config,
        }
        path = folder / "portico.yaml"
        path.write_text(yaml.safe_dump(config), encoding="utf-8")
        environ = {name: value for name, value in os.environ.items() if not name.startswith("PORTICO")}
        environ["PORTICO_API_KEY"] = self.key
        if home is not None:
            environ["PORTICO_HOME"] = str(home)
        with self.log_path.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "server", "serve", "--config", str(path)],
                cwd=ROOT, env=environ, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
                start_new_session=True,
            )  # fmt: skip

    @property
    def root(self) -> str:
        return self.base_url.removesuffix("/v1")

    def get(self, path: str) -> httpx2.Response:
        return httpx2.get(self.root + path, headers={"authorization": f"Bearer {self.key}"}, timeout=10)

    def ready(self, within_s: float) -> None:
        """Wait for /readyz. Raises AssertionError with the end of the logs."""

        def answers() -> bool:
            assert self.process.poll() is None, f"`portico serve` ended with {self.process.returncode}: {self.logs()}"
            try:
                return self.get("/readyz").status_code == 200
            except httpx2.HTTPError:
                return False

        try:
            wait_for(answers, within_s, "/readyz says 200")
        except AssertionError as error:
            self.kill()
            raise AssertionError(f"{error}\n{self.logs()}") from None

    def log(self) -> str:
        return self.log_path.read_text(encoding="utf-8", errors="replace")

    def logs(self) -> str:
        """The end of the gateway's log and of the engine's."""
        found = {"portico": self.log()}
        if self._home is not None and (path := self._home / "logs" / "engine.log").exists():
            found["engine"] = path.read_text(encoding="utf-8", errors="replace")
        return "\n".join(f"--- end of the log of {name} ---\n{text[-TAIL:]}" for name, text in found.items())

    def metric(self, name: str, **labels: str) -> float:
        """The sum of one of Portico's metrics over the labels that are not given."""
        parts = [f'{label}="{value}"' for label, value in labels.items()]
        total = 0.0
        for line in httpx2.get(self.metrics_url, timeout=10).text.splitlines():
            series, _, value = line.rpartition(" ")
            if series.partition("{")[0] == name and all(part in series for part in parts):
                total += float(value)
        return total

    def engine(self) -> Engine:
        """The managed engine. Its key is in the environment of its process, where only its owner can read it."""
        for process in descendants(self.process.pid):
            if "vllm.entrypoints" not in process.command or "guard.py" in process.command:
                continue
            environ = Path(f"/proc/{process.pid}/environ").read_bytes().split(b"\0")
            keys = [one.partition(b"=")[2].decode() for one in environ if one.startswith(b"VLLM_API_KEY=")]
            ports = [word.partition("=")[2] for word in process.command.split() if word.startswith("--port=")]
            if keys and ports:
                return Engine(f"http://127.0.0.1:{ports[-1]}", keys[0])
        raise AssertionError(f"no vLLM process below `portico serve`: {self.logs()}")

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def stop(self, within_s: float = 40) -> None:
        """SIGTERM; exit status 0, and nothing left of what it started."""
        family = list(descendants(self.process.pid))
        self.signal(signal.SIGTERM)
        self.ends(within_s, family)

    def ends(self, within_s: float, family: Sequence[Process] = ()) -> None:
        """Wait for the end after a signal, with exit status 0; `family` must then be gone too."""
        try:
            status = self.process.wait(within_s)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"did not stop within {within_s:g} s of the signal: {self.logs()}") from None
        assert status == 0, f"exit status {status}: {self.logs()}"
        wait_for(lambda: not any(one.alive for one in family), 10, f"the end of all of {family}")

    def kill(self) -> None:
        family = list(descendants(self.process.pid))
        self.process.kill()
        self.process.wait()
        for one in family:
            if one.alive:
                os.kill(one.pid, signal.SIGKILL)
