"""A client that leaves takes its work along: seen in vLLM's own count of running requests. And the end with SIGTERM."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import httpx2
import pytest

from tests.live.conftest import MODEL
from tests.live.service import Engine, Service, wait_for
from tests.live.wire import AsyncTransport, Transport, Wire, check_error

LONG: dict[str, Any] = {"model": MODEL, "messages": [{"role": "user", "content": "Tell me a long story."}]}
LONG |= {"max_tokens": 7000, "min_tokens": 6900}  # half a minute and more of work that nobody wants
SECONDS = 3.0

Start = Callable[..., Service]


@pytest.fixture
def patient(gateway: Start, idle_engine: Engine) -> Service:
    """A gateway whose clients may ask for answers that do not end."""
    return gateway(model={"extra_fields": ["min_tokens"]})


class Client:
    """One open call on a connection of its own, which `leave` breaks off."""

    def __init__(self, service: Service, body: dict[str, Any], wire: Wire) -> None:
        self._http = httpx2.Client(timeout=60, transport=Transport(wire))
        self._headers = {"authorization": f"Bearer {service.key}"}
        self._request = self._http.build_request(
            "POST", f"{service.base_url}/chat/completions", json=body, headers=self._headers
        )

    def open_stream(self) -> httpx2.Response:
        return self._http.send(self._request, stream=True)

    def leave(self) -> None:
        self._http.close()


def ask(service: Service, body: dict[str, Any]) -> socket.socket:
    """Send a request and do not read its answer."""
    address = urlsplit(service.root)
    client = socket.create_connection((address.hostname or "", address.port or 80))
    data = json.dumps(body).encode()
    head = (
        f"POST /v1/chat/completions HTTP/1.1\r\nhost: {address.netloc}\r\nauthorization: Bearer {service.key}\r\n"
        f"content-type: application/json\r\ncontent-length: {len(data)}\r\n\r\n"
    )
    client.sendall(head.encode() + data)
    return client


def test_leaving_a_stream(patient: Service, idle_engine: Engine, wire: Wire) -> None:
    client = Client(patient, LONG | {"stream": True}, wire)
    answer = client.open_stream()
    lines = answer.iter_lines()
    for _ in range(20):
        next(lines)
    assert idle_engine.busy == 1
    client.leave()
    wait_for(lambda: idle_engine.busy == 0, SECONDS, "vLLM has aborted the stream")
    wait_for(lambda: patient.metric("portico_in_flight_requests") == 0, SECONDS, "the gateway let go of it")
    wait_for(lambda: patient.metric("portico_requests_total", outcome="client_gone") == 1, SECONDS, "it is counted")


def test_leaving_a_unary_call(patient: Service, idle_engine: Engine) -> None:
    client = ask(patient, LONG)
    wait_for(lambda: idle_engine.busy == 1, 10, "vLLM runs it")
    client.close()
    wait_for(lambda: idle_engine.busy == 0, SECONDS, "vLLM has aborted the unary call")
    wait_for(lambda: patient.metric("portico_in_flight_requests") == 0, SECONDS, "the gateway let go of it")
    wait_for(lambda: patient.metric("portico_requests_total", outcome="client_gone") == 1, SECONDS, "it is counted")


def test_leaving_several_choices(patient: Service, idle_engine: Engine, wire: Wire) -> None:
    client = Client(patient, LONG | {"stream": True, "n": 4, "temperature": 1}, wire)
    lines = client.open_stream().iter_lines()
    for _ in range(20):
        next(lines)
    assert idle_engine.busy == 4
    client.leave()
    wait_for(lambda: idle_engine.busy == 0, SECONDS, "vLLM has aborted all choices")


def test_leaving_the_queue(gateway: Start, idle_engine: Engine, wire: Wire) -> None:
    """A call that waits in the gateway for a slot never reaches the engine once its client is gone."""
    service = gateway(model={"extra_fields": ["min_tokens"]}, engine_settings={"max_in_flight": 1})
    first = Client(service, LONG | {"stream": True}, wire)
    lines = first.open_stream().iter_lines()
    next(lines)
    second = ask(service, LONG)
    wait_for(lambda: service.metric("portico_in_flight_requests") == 2, SECONDS, "the second is here")
    second.close()
    wait_for(lambda: service.metric("portico_in_flight_requests") == 1, SECONDS, "the queue is empty")
    assert idle_engine.busy == 1
    first.leave()
    wait_for(lambda: idle_engine.busy == 0, SECONDS, "vLLM has aborted the first")
    time.sleep(0.5)
    assert idle_engine.busy == 0
    assert service.metric("portico_in_flight_requests") == 0


def test_a_stop_text_ends_the_work(patient: Service, idle_engine: Engine) -> None:
    """The gateway looks for stop texts itself, so it must end what the engine would go on with."""
    body = LONG | {"stop": ["lighthouse"], "messages": [{"role": "user", "content": "Tell me a long story."}]}
    answer = httpx2.post(
        f"{patient.base_url}/chat/completions",
        json=body,
        headers={"authorization": f"Bearer {patient.key}"},
        timeout=30,
    ).json()
    assert answer["choices"][0]["finish_reason"] == "stop"
    wait_for(lambda: idle_engine.busy == 0, SECONDS, "vLLM has stopped")


def test_sigterm_with_open_streams(gateway: Start, idle_engine: Engine, wire: Wire) -> None:
    """Short answers come to their end, endless ones end with an error event at the end of the grace time; exit 0."""
    service = gateway(model={"extra_fields": ["min_tokens"]}, server={"shutdown_grace_s": 12})
    short = {key: value for key, value in LONG.items() if key != "min_tokens"} | {"max_tokens": 40}

    async def read(http: httpx2.AsyncClient, body: dict[str, Any], opened: asyncio.Event) -> str:
        headers = {"authorization": f"Bearer {service.key}"}
        url = f"{service.base_url}/chat/completions"
        async with http.stream("POST", url, json=body | {"stream": True}, headers=headers) as answer:
            text = ""
            async for part in answer.aiter_text():
                text += part
                opened.set()
            return text

    async def run() -> list[str]:
        bodies = (short, short, LONG, LONG)
        async with httpx2.AsyncClient(timeout=60, transport=AsyncTransport(wire)) as http:
            opened = [asyncio.Event() for _ in bodies]
            reads = [asyncio.create_task(read(http, body, event)) for body, event in zip(bodies, opened, strict=True)]
            await asyncio.gather(*(event.wait() for event in opened))
            service.signal(signal.SIGTERM)
            await asyncio.sleep(0.5)
            with pytest.raises(httpx2.HTTPError):
                await http.get(f"{service.root}/healthz")
            return await asyncio.gather(*reads)

    *finished, cut, also_cut = asyncio.run(run())
    for text in finished:
        assert text.endswith("data: [DONE]\n\n")
        assert "error" not in text.rpartition("data: {")[2]
    for text in (cut, also_cut):
        error = json.loads(text.rstrip().rpartition("data: ")[2])
        check_error(error)
        assert error["error"]["code"] == "shutting_down"
    service.ends(10)
    wait_for(lambda: idle_engine.busy == 0, SECONDS, "vLLM has nothing left to do")
