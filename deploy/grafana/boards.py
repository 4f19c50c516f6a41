"""All dashboards, by the file that holds each."""

from __future__ import annotations

import json
from pathlib import Path

from deploy.grafana.capacity import CAPACITY
from deploy.grafana.engine import ENGINE
from deploy.grafana.moderation import MODERATION
from deploy.grafana.overview import OVERVIEW
from deploy.grafana.panels import Board
from deploy.grafana.tenants import TENANTS

FOLDER = Path(__file__).parent / "dashboards"
BOARDS: dict[str, Board] = {
    "overview.json": OVERVIEW,
    "tenants.json": TENANTS,
    "moderation.json": MODERATION,
    "engine.json": ENGINE,
    "capacity.json": CAPACITY,
}


def rendered() -> dict[str, str]:
    """The text of each file."""
    return {name: json.dumps(board.json(), indent=2) + "\n" for name, board in BOARDS.items()}
