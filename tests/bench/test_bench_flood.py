"""The flood bench, small: good calls are measured, wrong keys are sent and refused."""

from __future__ import annotations

import re
from pathlib import Path

from bench.flood import Plan, measure


def test_a_small_flood(tmp_path: Path) -> None:
    text = measure(Plan(seconds=0.5, rounds=1, clients=1, connections=4), tmp_path)
    (alone, beside) = (re.search(rf"^\| {name} .*$", text, re.MULTILINE) for name in ("alone", "beside a flood"))
    assert alone and beside and "nan" not in text
    wrong = re.search(r"([0-9,]+) wrong keys refused", text)
    assert wrong and int(wrong[1].replace(",", "")) >= 100
