from __future__ import annotations

import re

from server.engines.salts import CacheSalts


def test_a_salt_per_project_and_secret() -> None:
    one, other = CacheSalts(b"1" * 32), CacheSalts(b"2" * 32)
    salts = [one.of("proj_a"), one.of("proj_b"), other.of("proj_a")]
    assert len(set(salts)) == 3
    assert CacheSalts(b"1" * 32).of("proj_a") == salts[0]
    assert all(re.fullmatch(r"[A-Za-z0-9_-]{24}", salt) for salt in salts)
