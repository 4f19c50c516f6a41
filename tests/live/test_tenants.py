"""What a tenant brings to the real engine: its class as priority, its salt in the prefix cache."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import httpx2
import pytest

from tests.live.conftest import MODEL
from tests.live.service import Service

KEYS = {
    name: (f"sk-test-live-of-{name}", project, priority)
    for name, project, priority in (
        ("first", "red", "interactive"), ("second", "red", "standard"), ("third", "blue", "batch")
    )
}  # fmt: skip
LONG = "Count the words of this list and say how many there are: " + "one two three four five six seven eight. " * 40


def ask(service: Service, who: str, **body: Any) -> dict[str, Any]:
    """The usage of an answer."""
    request = {"model": MODEL, "messages": [{"role": "user", "content": LONG}], "max_tokens": 4, **body}
    headers = {"authorization": f"Bearer {KEYS[who][0]}"}
    reply = httpx2.post(f"{service.base_url}/chat/completions", json=request, headers=headers, timeout=120)
    assert reply.status_code == 200, reply.text
    return reply.json()["usage"]


def cached(usage: dict[str, Any]) -> int:
    return (usage.get("prompt_tokens_details") or {}).get("cached_tokens") or 0


@pytest.mark.parametrize("priority", [0, 1, 2])
@pytest.mark.parametrize(("path", "prompt"), [("chat/completions", False), ("completions", True)])
def test_the_engine_takes_priorities_and_salts(direct: httpx2.Client, path: str, prompt: bool, priority: int) -> None:
    text = {"prompt": "Once"} if prompt else {"messages": [{"role": "user", "content": "Hello!"}]}
    body = {"model": MODEL, "max_tokens": 4, "priority": priority, "cache_salt": "a-salt", **text}
    reply = direct.post(f"/v1/{path}", json=body)
    assert reply.status_code == 200, reply.text


def test_a_project_finds_only_its_own_prompts_in_the_prefix_cache(gateway: Callable[..., Service]) -> None:
    keys = [
        {"name": name, "key_sha256": hashlib.sha256(key.encode()).hexdigest(), "project": project, "priority": priority}
        for name, (key, project, priority) in KEYS.items()
    ]
    service = gateway(engine_settings={"vllm": True}, auth={"static_keys": keys})
    assert cached(ask(service, "first")) == 0
    assert cached(ask(service, "second")) > 0, "another key of the same project"
    assert cached(ask(service, "third", service_tier="flex")) == 0, "another project"
    assert cached(ask(service, "third")) > 0
