"""Four processes of 64 clients at one Redis: never more than the limit, and never less than what fits."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from uuid import uuid4

from tests.contract.crowd import PLACES, RESERVATION, TOKENS
from tests.services.redis import RedisServer

ROOT = Path(__file__).parents[2]


def test_no_interleaving_grants_more_or_less(redis_server: RedisServer) -> None:
    prefix = f"{{portico}}:{uuid4().hex}:"
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.contract.crowd", redis_server.url, prefix, str(number)],
            cwd=ROOT,
            stdout=subprocess.PIPE,
        )
        for number in range(4)
    ]
    most = [json.loads(process.communicate(timeout=60)[0]) for process in processes]

    assert max(one["tokens"] for one in most) <= TOKENS
    assert 1 < max(one["places"] for one in most) <= PLACES
    with redis_server.client() as client:
        used = int(str(client.get(f"{prefix}test:tokens")))
        assert TOKENS - RESERVATION < used <= TOKENS
        assert client.hlen(f"{prefix}holds") == client.zcard(f"{prefix}leases") == 0
        assert client.get(f"{prefix}concurrent_requests:key:a") is None
