"""What the shipped demo model does, asked through the real engine and Portico: a sample of tools/demo_model/cases.py.

The whole table is in tools/demo_model/README.md; here a floor for each sort, so that worse weights or a rendering
that changed do not go unseen.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict

import pytest

from tests.live.conftest import MODEL
from tests.live.service import Service
from tools.demo_model.behaviours import evaluate, table
from tools.demo_model.cases import Case, all_cases

EVERY = 4
LEAST = {"JSON under a schema": 0.5, "required call": 0.4, "no tool for that": 0.4}  # its weak sides
LEAST_OF_OTHERS = 0.7  # some sorts have three cases, and another processor rounds another way
LEAST_OF_ALL = 0.9


def sample() -> list[Case]:
    by_kind: dict[str, list[Case]] = defaultdict(list)
    for case in all_cases():
        by_kind[case.kind].append(case)
    return [case for cases in by_kind.values() for case in (cases if len(cases) <= 12 else cases[::EVERY])]


@pytest.mark.timeout(1500)  # some 300 answers, on machines that may be busy
def test_behaviours(service: Service) -> None:
    rows = asyncio.run(evaluate(service.base_url, service.key, MODEL, sample()))
    print("\n" + table(rows))
    weak = {row.kind: row.failures for row in rows if row.passed < LEAST.get(row.kind, LEAST_OF_OTHERS) * row.total}
    assert weak == {}
    assert sum(row.passed for row in rows) >= LEAST_OF_ALL * sum(row.total for row in rows)
