"""Codex CLI and Claude Code as their users run them, without a terminal: configured as the pages of docs/ say.

Each runs in a home of its own, and all that would leave loopback goes to a proxy that nobody answers at.
"""

from __future__ import annotations

from pathlib import Path

HERE = Path(__file__).parent
CPUS = {"x86_64": "x64", "aarch64": "arm64", "arm64": "arm64"}
LONGEST_S = 50
DOCUMENTED = "http://127.0.0.1:8000"
