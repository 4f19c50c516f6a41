"""The benchmark of batches: what it asks for, and what it says of what it found."""

from __future__ import annotations

import json
from pathlib import Path

from bench.batches import Found, Plan, batch_input, configuration, report, verdicts
from bench.fairness import Backend
from server.config import Config
from server.openai.batch_request import LINE, validate_line

BACKEND = Backend("http://127.0.0.1:1", "gpt-oss-20b", vllm=False)


def test_the_configuration_is_one_that_portico_takes(tmp_path: Path) -> None:
    config = Config.model_validate(json.loads(configuration(BACKEND, Plan(), (1, 2), tmp_path)))
    assert config.engines["engine"].max_in_flight == Plan.seqs
    assert {key.project for key in config.auth.static_keys} == {"people", "owner"}


def test_the_input_has_lines_that_are_in_order() -> None:
    lines = [LINE.decode(line) for line in batch_input(Plan(lines=5), "m").splitlines()]
    for line in lines:
        validate_line(line, "/v1/chat/completions")
    assert len({line.custom_id for line in lines}) == 5


def test_the_bar() -> None:
    alone = Found("alone", [0.100] * 99 + [0.200])
    good, bad = Found("beside", [0.105] * 99 + [0.215], 300, 10.0), Found("beside", [0.111] * 100, 300, 10.0)
    assert [verdict.rpartition(" ")[2] for verdict in verdicts(alone, good)] == ["met", "met"]
    assert verdicts(alone, bad)[0].endswith("MISSED")
    text = report(alone, good)
    assert "30.0" in text and "1.05" in text
