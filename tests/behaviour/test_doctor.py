"""`portico doctor` beside a running service: it tells whose the ports are, and does no harm."""

from __future__ import annotations

import asyncio
import json
from copy import copy
from pathlib import Path

from tests.behaviour.engine_double import EngineDouble
from tests.behaviour.processes import Served, serve


async def ports(served: Served) -> list[tuple[str, str]]:
    said = await served.portico("doctor", "--json")
    verdicts = json.loads(said.out)["verdicts"]
    return [(one["level"], one["text"].partition(" is ")[2]) for one in verdicts if one["check"] == "port"]


async def test_the_running_service_has_its_ports(tmp_path: Path) -> None:
    tls = {name: str(Path(__file__).parents[1] / f"data/tls/{name}.pem") for name in ("cert", "key")}
    async with EngineDouble() as engine, serve(engine, tmp_path, server={"tls": tls}) as served:
        workers = served.workers()
        elsewhere = copy(served)
        elsewhere.home = tmp_path / "another"
        here, there = await asyncio.gather(ports(served), ports(elsewhere))
        assert here == [("ok", "held by the Portico that runs")] * 2
        assert there == [("fail", "held by another Portico, of another PORTICO_HOME or user")] * 2
        assert served.workers() == workers
        assert await served.end() == 0
