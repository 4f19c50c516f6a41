"""The file of results: a section per benchmark, each written again without touching the others."""

from __future__ import annotations

import re
from pathlib import Path

RESULTS = Path(__file__).parent / "RESULTS.md"


def with_section(text: str, title: str, body: str) -> str:
    """`text` with the section under the heading `# title` replaced, or added at the end."""
    section = f"# {title}\n\n{body.strip()}\n"
    heading = re.search(rf"^# {re.escape(title)}$", text, re.MULTILINE)
    if heading is None:
        return f"{text.rstrip()}\n\n{section}".lstrip()
    following = re.search(r"^# ", text[heading.end() :], re.MULTILINE)
    rest = text[heading.end() + following.start() :] if following else ""
    return text[: heading.start()] + section + (f"\n{rest}" if rest else "")


def write_section(title: str, body: str, path: Path = RESULTS) -> None:
    before = path.read_text(encoding="utf-8") if path.exists() else ""
    path.write_text(with_section(before, title, body), encoding="utf-8")
