"""One process of many clients that take all they can get: `python -m tests.contract.crowd URL PREFIX NUMBER`.

What is granted is counted apart from the limits, by INCRBY in the same server: added after a take and taken off before
what gives it back, so never more than what the store itself counts. Prints the highest counts as JSON.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys

from server.stores.base import Quota, Refused, Taken
from server.stores.redis import RedisLimits
from server.stores.redis_pipe import RedisPipe
from tests.contract.limit_stores import PATIENT_S

CLIENTS = 64
CALLS = 8
TOKENS = 20_000
PLACES = 40
RESERVATION = 50  # the largest


class Crowd:
    def __init__(self, url: str, prefix: str, number: int) -> None:
        self.limits = RedisLimits(url, prefix=prefix, command_s=PATIENT_S)
        self.pipe = RedisPipe(url, PATIENT_S)
        self.prefix = prefix
        self.number = number
        self.random = random.Random(number)
        self.most: dict[str, int] = {"tokens": 0, "places": 0}
        self.calls = 0

    async def run(self) -> None:
        await asyncio.gather(*[self.client() for _ in range(CLIENTS)])
        while await self.call(RESERVATION, RESERVATION):  # the last process of all leaves less than one reservation
            pass
        await self.limits.close()
        await self.pipe.close()

    async def client(self) -> None:
        for _ in range(CALLS):
            reserved = self.random.randint(1, RESERVATION)
            await self.call(reserved, self.random.choice((reserved, self.random.randint(0, reserved))))

    async def call(self, reserved: int, used: int) -> bool:
        """Waits for a place. False if the tokens do not fit."""
        self.calls += 1
        hold_id = f"{self.number}-{self.calls}"
        quotas = (
            Quota("key:a", "concurrent_requests", PLACES),
            Quota("project:p", "tokens_per_minute", TOKENS),
        )
        while not isinstance(outcome := await self.limits.take(hold_id, quotas, (1, reserved)), Taken):
            assert isinstance(outcome, Refused)
            if outcome.index == 1:
                return False
            await asyncio.sleep(0)
        await self.add("tokens", reserved)
        await self.add("places", 1)
        await self.add("places", -1)
        await self.add("tokens", used - reserved)
        await self.limits.settle(hold_id, quotas, (0, used))
        return True

    async def add(self, name: str, amount: int) -> None:
        count = await self.pipe.ask("INCRBY", f"{self.prefix}test:{name}", amount)
        self.most[name] = max(self.most[name], count)


if __name__ == "__main__":
    crowd = Crowd(sys.argv[1], sys.argv[2], int(sys.argv[3]))
    asyncio.run(crowd.run())
    print(json.dumps(crowd.most))
