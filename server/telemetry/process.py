"""What the worker processes use of the machine."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from time import process_time

from prometheus_client import CollectorRegistry

from server.telemetry import families

PAGE = os.sysconf("SC_PAGESIZE")


def resident_bytes(statm: Path = Path("/proc/self/statm")) -> int:
    """Memory of this process that is not swapped out; 0 where /proc does not say."""
    try:
        return int(statm.read_bytes().split()[1]) * PAGE
    except (OSError, IndexError, ValueError):
        return 0


class ProcessSeries:
    """Processor time is handed over as it grows, so that the sum over workers goes on when one dies."""

    def __init__(
        self,
        registry: CollectorRegistry,
        cpu_s: Callable[[], float] = process_time,
        resident: Callable[[], int] = resident_bytes,
    ) -> None:
        self._cpu = families.CPU.on(registry)
        self._memory = families.RESIDENT.on(registry)
        self._cpu_s = cpu_s
        self._resident = resident
        self._told = 0.0

    def flush(self) -> None:
        used = self._cpu_s()
        self._cpu.inc(used - self._told)
        self._told = used
        self._memory.set(self._resident())
