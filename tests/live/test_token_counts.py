"""Prompt tokens counted by Portico are those that vLLM reports."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from hypothesis import Phase, given, settings

from server.engines.requests import engine_request
from server.tokens.counter import TokenCounter
from tests.live.conftest import MODEL
from tests.live.prompts import HI, PROMPTS, RAW
from tests.live.service import Service
from tests.tokens.chats import call_of, chats

COUNTER = TokenCounter()


@pytest.fixture(scope="module")
def http() -> Iterator[httpx2.Client]:
    with httpx2.Client(timeout=60) as client:
        yield client


def reported(http: httpx2.Client, service: Service, body: dict[str, Any]) -> int:
    path = "/completions" if "prompt" in body else "/chat/completions"
    asked = {"model": MODEL, "max_tokens": 1, "temperature": 0, **body}
    answer = http.post(service.base_url + path, json=asked, headers={"authorization": f"Bearer {service.key}"})
    assert answer.status_code == 200, answer.text
    return answer.json()["usage"]["prompt_tokens"]


def test_the_corpus_is_large() -> None:
    assert len(PROMPTS) >= 60
    assert max(COUNTER.exact(call_of(body)) for body in PROMPTS.values()) > 3000


@pytest.mark.parametrize("name", PROMPTS)
def test_counts(http: httpx2.Client, service: Service, name: str) -> None:
    call = call_of(PROMPTS[name])
    counted = COUNTER.exact(call)
    assert counted == reported(http, service, PROMPTS[name])
    assert counted <= COUNTER.upper_bound(call)


def test_counts_with_the_operators_settings(http: httpx2.Client, gateway: Callable[..., Service]) -> None:
    model: dict[str, Any] = {"developer_prompt": "回答要简短。\n", "defaults": {"reasoning_effort": "max"}}
    model["raw_special_tokens"] = True
    service = gateway(model=model)
    bodies = {
        **RAW,
        **{
            name: PROMPTS[name] for name in ("hi", "system", "two_systems", "effort_low", "results", "system_and_tools")
        },
    }
    counted = {name: COUNTER.exact(call_of(body, **model)) for name, body in bodies.items()}
    assert counted == {name: reported(http, service, body) for name, body in bodies.items()}
    assert counted["hi"] > COUNTER.exact(call_of({"messages": [HI]}))


def test_streams_report_the_same(http: httpx2.Client, service: Service) -> None:
    """vLLM counts on another path there."""
    for body in (PROMPTS["results"], PROMPTS["several_answers"], PROMPTS["completion_with_answers"]):
        path = "/completions" if "prompt" in body else "/chat/completions"
        asked = {"model": MODEL, "max_tokens": 1, "stream": True, "stream_options": {"include_usage": True}, **body}
        answer = http.post(service.base_url + path, json=asked, headers={"authorization": f"Bearer {service.key}"})
        assert f'"prompt_tokens":{COUNTER.exact(call_of(body))},' in answer.text


def test_counts_of_any_chat(engine_python: Path) -> None:
    """Against vLLM's own code, without its model: requests that nobody would write."""
    requests: list[bytes] = []
    counted: list[int] = []

    @settings(max_examples=400, phases=[Phase.generate], database=None)
    @given(chats)
    def make(body: dict[str, Any]) -> None:
        call = call_of(body)
        requests.append(engine_request(call, streams=False))
        counted.append(COUNTER.exact(call))

    make()
    done = subprocess.run(
        [engine_python, "-E", Path(__file__).with_name("vllm_counts.py")],
        input=b"\n".join(requests),
        capture_output=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()[-3000:]
    found = [int(line) for line in done.stdout.split()]
    assert [(one, asked) for one, asked in zip(counted, requests, strict=True)] == list(
        zip(found, requests, strict=True)
    )
