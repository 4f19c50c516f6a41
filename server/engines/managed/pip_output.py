"""What pip's output says: the package in work, and after a failure the reason in one line. Pure."""

from __future__ import annotations

import re

_WORK = (
    (re.compile(r"^Collecting ([A-Za-z0-9._-]+)"), "looking for {}"),
    (re.compile(r"^\s*Downloading (?:\S*/)?([A-Za-z0-9_.]+?)-\d\S*(?: \((\d[\d.]* [kMG]B)\))?"), "downloading {}"),
    (re.compile(r"^\s*Using cached (?:\S*/)?([A-Za-z0-9_.]+?)-\d\S*(?: \((\d[\d.]* [kMG]B)\))?"), "from the cache: {}"),
    (re.compile(r"^(?:Processing) (?:\S*/)?([A-Za-z0-9_.]+?)-\d\S*\.whl"), "from a local wheel: {}"),
    (re.compile(r"^Installing collected packages: (.*)$"), "unpacking {} packages"),
)


def working_on(line: str) -> str | None:
    """A short phrase such as `downloading torch (191.1 MB)`, or None where the line names no new work."""
    for pattern, phrase in _WORK:
        if found := pattern.match(line):
            if "packages" in phrase:
                return phrase.format(found[1].count(",") + 1)
            size = found[2] if pattern.groups == 2 and found[2] else None
            return phrase.format(found[1].replace("_", "-")) + (f" ({size})" if size else "")
    return None


def reason(lines: list[str]) -> str:
    """One line for a failed pip, with a way out."""
    text = "\n".join(lines)
    if re.search(r"No space left on device", text):
        return "the disk is full; make room, or set PORTICO_HOME to a folder on a larger disk"
    if re.search(r"do not match the hashes|HASHES? .*MISMATCH", text, re.IGNORECASE):
        return "a download does not match its hash; empty pip's cache (pip cache purge) and try again"
    if missing := re.search(r"No matching distribution found for (\S+)", text):
        return (
            f"{missing[1]} was not found; check that the package index can be reached, "
            "or name a mirror in PIP_INDEX_URL / PIP_EXTRA_INDEX_URL (a proxy in HTTPS_PROXY)"
        )
    if re.search(r"ReadTimeout|ConnectTimeout|Connection(Error| refused| reset| aborted)|NewConnection|SSLError", text):
        return "the package index cannot be reached; check the network, a proxy (HTTPS_PROXY), a mirror (PIP_INDEX_URL)"
    errors = [line.strip() for line in lines if line.lstrip().startswith(("ERROR:", "error:"))]
    last = errors[-1] if errors else next((line.strip() for line in reversed(lines) if line.strip()), "no output")
    return last.removeprefix("ERROR:").strip()
