"""Run a command of the installation: its output goes to the log, and line by line to whoever shows progress."""

from __future__ import annotations

import os
import selectors
import subprocess
from collections.abc import Callable, Iterator, Mapping
from typing import BinaryIO

Runner = Callable[[list[str], BinaryIO, int, Callable[[str], None]], int]
"""`run(command, log, held_fd, on_line)` gives the exit status; on_line gets each line, and "" about once a second."""


def run_logged(command: list[str], log: BinaryIO, held_fd: int, on_line: Callable[[str], None]) -> int:
    """The real Runner. `held_fd` stays open in the child, so that the lock outlives a killed parent's pip."""
    child = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        env=_environment(os.environ), pass_fds=(held_fd,),
    )  # fmt: skip
    try:
        for line in _lines(child.stdout.fileno() if child.stdout else -1):
            log.write(line)
            log.flush()
            on_line(line.decode(errors="replace").rstrip())
        return child.wait()
    finally:
        if child.poll() is None:
            child.terminate()
            child.wait()


def _lines(fd: int) -> Iterator[bytes]:
    """Lines as they come, and an empty one about every second."""
    rest = b""
    with selectors.DefaultSelector() as selector:
        selector.register(fd, selectors.EVENT_READ)
        while True:
            if not selector.select(1.0):
                yield b""
                continue
            data = os.read(fd, 65536)
            *lines, rest = (rest + data).split(b"\n")
            yield from (line + b"\n" for line in lines)
            if not data:
                if rest:
                    yield rest
                return


def _environment(environ: Mapping[str, str]) -> dict[str, str]:
    """pip's environment: the person's own (mirrors, proxies), without what would point it at another place."""
    dropped = {"PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "__PYVENV_LAUNCHER__", "PIP_TARGET", "PIP_PREFIX"}
    kept = {key: value for key, value in environ.items() if key not in dropped}
    return kept | {"PIP_USER": "0", "PIP_NO_INPUT": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1", "PYTHONUNBUFFERED": "1"}
