"""What the figures were taken on."""

from __future__ import annotations

import os
import platform
import re
import time
from pathlib import Path


def cpu_model() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return platform.processor() or platform.machine()
    match = re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
    return match[1] if match else platform.machine()


def describe() -> str:
    """Date, processor, cores, load before the run, system and Python, in one line."""
    cores = len(os.sched_getaffinity(0))
    return (
        f"{time.strftime('%Y-%m-%d')}, {cpu_model()}, {cores} cores, load {os.getloadavg()[0]:.1f} at the start, "
        f"Linux {platform.release().split('-')[0]}, CPython {platform.python_version()}"
    )


def busy() -> bool:
    """Whether others use this machine already: figures taken now are not worth keeping."""
    return os.getloadavg()[0] > 0.5
