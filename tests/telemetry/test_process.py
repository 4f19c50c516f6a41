from __future__ import annotations

import os
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from server.telemetry.process import ProcessSeries, resident_bytes


def test_processor_time_is_handed_over_as_it_grows() -> None:
    registry = CollectorRegistry()
    used, resident = iter([1.5, 1.5, 4.0]), iter([100, 300, 200])
    series = ProcessSeries(registry, lambda: next(used), lambda: next(resident))
    seen: list[tuple[float | None, float | None]] = []
    for _ in range(3):
        series.flush()
        names = ("portico_process_cpu_seconds_total", "portico_process_resident_memory_bytes")
        seen.append((registry.get_sample_value(names[0]), registry.get_sample_value(names[1])))
    assert seen == [(1.5, 100), (1.5, 300), (4.0, 200)]


@pytest.mark.parametrize("text", [None, b"", b"1", b"a b c"])
def test_where_proc_does_not_say(text: bytes | None, tmp_path: Path) -> None:
    if text is not None:
        (tmp_path / "statm").write_bytes(text)
    assert resident_bytes(tmp_path / "statm") == 0


def test_as_the_kernel_says_elsewhere() -> None:
    status = Path("/proc/self/status").read_text()
    told = int(status.partition("VmRSS:")[2].split()[0]) * 1024
    assert told / 2 < resident_bytes() < told * 2
    assert resident_bytes() % os.sysconf("SC_PAGESIZE") == 0
