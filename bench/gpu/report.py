"""The table of `python -m bench.gpu`, and what it was taken on."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from bench.gpu.engine import Engine
from bench.gpu.measure import Plan, Side
from bench.machine import describe
from bench.table import markdown, number

TITLE = "# Portico in front of a real engine\n\nMade by `python -m bench.gpu --write`; README.md says how to read it.\n"
HEADINGS = (
    "way",
    "streams",
    "tokens/s",
    "TTFT p50 ms",
    "TTFT p99 ms",
    "ITL p50 ms",
    "ITL p99 ms",
    "tokens/chunk",
    "CPU µs/chunk",
    "% of a core",
)


def gpu() -> str | None:
    """Name, memory and driver of the first GPU and how many there are; None without one."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return None
    query = [program, "--query-gpu=name,memory.total,driver_version", "--format=csv,noheader"]
    said = subprocess.run(query, capture_output=True, text=True, check=False)
    lines = said.stdout.strip().splitlines()
    if said.returncode or not lines:
        return None
    name, memory, driver = (part.strip() for part in lines[0].split(","))
    return f"{len(lines)} x {name} ({memory}), driver {driver}"


def cells(sides: Sequence[Side]) -> list[list[str]]:
    lines: list[list[str]] = [list(HEADINGS)]
    for side in sides:
        lines.append([
            side.name + (" (!)" if side.errors else ""),
            str(side.streams),
            number(side.tokens_per_s, 0),
            number(side.milliseconds(side.ttft, 50), 1),
            number(side.milliseconds(side.ttft, 99), 1),
            number(side.milliseconds(side.gaps, 50), 2),
            number(side.milliseconds(side.gaps, 99), 2),
            number(side.tokens_per_chunk, 2),
            number(side.cpu_us_per_chunk, 1),
            number(side.core_percent, 1),
        ])  # fmt: skip
    return lines


def heading(where: str, here: bool) -> str:
    """`where` is a GPU's description, "" for none; what is not taken on a GPU is marked as a try."""
    if where:
        return where
    return "CPU try: shows that the method works, says nothing about a GPU" if here else "engine on another machine"


def section(where: str, here: bool, engine: Engine, portico: str, plan: Plan, sides: Sequence[Side]) -> str:
    """The results as a section of bench/RESULTS-gpu.md."""
    weights = " with dummy weights" if engine.dummy else ""
    notes = [
        f"Gateway and load generator on {describe()}",
        f"vLLM {engine.version}, model {engine.model}{weights}, Portico {portico}, {plan.path}, "
        f"{plan.max_tokens} tokens per stream at most, rounds pooled: {plan.rounds}",
        *([f"vLLM's flags: {' '.join(engine.flags)}"] if engine.flags else []),
    ]
    errors = [f"(!) {s.name}, {s.streams} streams: {n} x {why}" for s in sides for why, n in s.errors.most_common(3)]
    lines = "\n".join(f"- {line}" for line in notes + errors)
    return f"## {time.strftime('%Y-%m-%d')}, {heading(where, here)}\n\n{lines}\n\n{markdown(cells(sides))}\n"


def append(path: Path, text: str) -> None:
    """Put a section behind those that are there."""
    before = path.read_text(encoding="utf-8") if path.exists() else TITLE
    path.write_text(f"{before.rstrip()}\n\n{text}", encoding="utf-8")
