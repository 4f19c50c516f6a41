"""Batches, as clients make and watch them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from typing import Any

from openai import AsyncOpenAI
from openai.types import Batch

from tests.behaviour.serving import CHAT, MODEL

Json = dict[str, Any]


def chat_line(name: str, **body: Any) -> Json:
    asked = {"model": MODEL, "messages": [{"role": "user", "content": f"Say {name}."}]} | body
    return {"custom_id": name, "method": "POST", "url": CHAT, "body": asked}


def jsonl(lines: Sequence[object]) -> bytes:
    return b"".join(line if isinstance(line, bytes) else json.dumps(line).encode() + b"\n" for line in lines)


async def uploaded(client: AsyncOpenAI, lines: Sequence[object], purpose: Any = "batch") -> str:
    return (await client.files.create(file=("in.jsonl", jsonl(lines)), purpose=purpose)).id


async def created(client: AsyncOpenAI, lines: Sequence[object], endpoint: Any = CHAT, **more: Any) -> Batch:
    file_id = await uploaded(client, lines)
    return await client.batches.create(input_file_id=file_id, endpoint=endpoint, completion_window="24h", **more)


async def until(client: AsyncOpenAI, batch_id: str, *statuses: str, within_s: float = 20) -> Batch:
    """The batch, once it is one of these. Raises AssertionError."""
    deadline = asyncio.get_running_loop().time() + within_s
    while (batch := await client.batches.retrieve(batch_id)).status not in statuses:
        assert batch.status in ("validating", "in_progress", "finalizing", "cancelling"), batch
        assert asyncio.get_running_loop().time() < deadline, batch
        await asyncio.sleep(0.02)
    return batch


async def results(client: AsyncOpenAI, file_id: str | None) -> list[Json]:
    """The lines of an output."""
    if file_id is None:
        return []
    text = (await client.files.content(file_id)).text
    return [json.loads(line) for line in text.splitlines()]


async def all_results(client: AsyncOpenAI, batch: Batch) -> list[Json]:
    return await results(client, batch.output_file_id) + await results(client, batch.error_file_id)


def names(lines: Sequence[Json]) -> list[str]:
    return sorted(line["custom_id"] for line in lines)
