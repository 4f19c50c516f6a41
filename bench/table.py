"""The results as text: one table for the screen and for bench/RESULTS.md."""

from __future__ import annotations

import math
from collections.abc import Sequence

from bench.measure import Bar, Row

COLUMNS = (
    ("CPU µs/req", "cpu_us_per_request", 1),
    ("req/s", "requests_per_s", 0),
    ("p50 ms", "unary_p50_ms", 2),
    ("p99 ms", "unary_p99_ms", 2),
    ("added p50", "added_p50_ms", 2),
    ("added p99", "added_p99_ms", 2),
    ("CPU µs/chunk", "cpu_us_per_chunk", 1),
    ("TTFT p50 ms", "ttft_p50_ms", 1),
    ("TTFT p99 ms", "ttft_p99_ms", 1),
    ("gap p99 ms", "gap_p99_ms", 1),
    ("MB", "resident_mb", 0),
)


def number(value: float, digits: int) -> str:
    return "-" if math.isnan(value) else f"{value:,.{digits}f}"


def cells(rows: Sequence[Row]) -> list[list[str]]:
    """A heading, then a line per gateway; a row with errors is marked in its name, one that failed says why."""
    lines = [["gateway", *(title for title, _, _ in COLUMNS)]]
    for row in rows:
        name = f"{row.name} {row.version}".strip() + (" (!)" if row.errors else "")
        figures = row.figures
        lines.append([name, *(number(getattr(figures, key), digits) for _, key, digits in COLUMNS)])
    return lines


def notes(rows: Sequence[Row]) -> list[str]:
    """A line for each gateway that failed and for each kind of error."""
    found = [f"{row.name}: not measured: {row.failure}" for row in rows if row.failure]
    for row in rows:
        found += [f"(!) {row.name}: {count} x {reason}" for reason, count in row.errors.most_common(5)]
    return found


def markdown(lines: Sequence[Sequence[str]]) -> str:
    """The cells as a Markdown table, columns aligned for reading as plain text."""
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]

    def row(line: Sequence[str]) -> str:
        first, *others = (
            cell.ljust(width) if i == 0 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(line, widths, strict=True))
        )
        return f"| {' | '.join([first, *others])} |"

    rule = f"|{'|'.join('-' * (w + 2) if i == 0 else '-' * (w + 1) + ':' for i, w in enumerate(widths))}|"
    return "\n".join([row(lines[0]), rule, *(row(line) for line in lines[1:])])


def verdicts(found: Sequence[Bar]) -> list[str]:
    return [f"{bar.what}: {number(bar.value, 2)} {bar.unit} (bar {bar.limit:g}): {bar.verdict}" for bar in found]


def report(rows: Sequence[Row], found: Sequence[Bar]) -> str:
    """Table, notes and verdicts, as Markdown that also reads well on a screen."""
    parts = [markdown(cells(rows))]
    for lines in (notes(rows), verdicts(found)):
        if lines:
            parts.append("\n".join(f"- {line}" for line in lines))
    return "\n\n".join(parts)
