"""The administration API on a real server and a real database, in a thread of its own; tests call it from outside."""

from __future__ import annotations

import asyncio
import http.client
import json
import socket
import threading
from collections.abc import Coroutine, Iterator
from dataclasses import dataclass
from pathlib import Path
from time import time
from typing import Any, TypeVar

import pytest
import uvicorn
import uvloop
from fastapi import FastAPI
from openai import OpenAI

from server.api.admin.administration import Administration
from server.api.admin.routes import admin_routes
from server.api.failures import answer_failures
from server.auth.issue import issue_admin_key
from server.auth.secrets import tag_key
from server.call import ServedModel
from server.config import Model, Server
from server.moderation.policies import Loaded
from server.stores.records import Actor
from server.stores.sql.opening import open_durable
from server.stores.sql.store import SqlStore
from server.worker import QuietServer
from tests.behaviour.serving import eventually

LONGEST_S = 30
ORGANIZATION = "/v1/organization"
T = TypeVar("T")
Json = dict[str, Any]


@dataclass
class Answer:
    status: int
    headers: http.client.HTTPMessage
    json: Any

    @property
    def error(self) -> Json:
        assert set(self.json) == {"error"} and set(self.json["error"]) == {"message", "type", "param", "code"}
        return self.json["error"]


class Clock:
    """Real time, and how far a test has turned it."""

    turned_s = 0.0

    def __call__(self) -> float:
        return time() + self.turned_s


class Office:
    def __init__(self, loop: asyncio.AbstractEventLoop, folder: Path) -> None:
        self._loop = loop
        self._folder = folder
        self.clock = Clock()
        self.models = {
            name: ServedModel(name, Model(engines=("one",), aliases=aliases), 1)
            for name, aliases in (("gpt-oss-20b", ("gpt-4o-mini",)), ("openai/gpt-oss-120b", ()))
        }
        self.policies = Loaded({}, None)
        self.store: SqlStore
        self.key: str
        self.key_id: str
        self.port: int

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(LONGEST_S)

    async def start(self) -> None:
        self.store = await open_durable("sqlite:///portico.db", self._folder)
        self.tag_key = tag_key(await self.store.server_secret())
        record, self.key = issue_admin_key(self.tag_key, int(time()), "first")
        self.key_id = record.id
        await self.store.create_admin_key(record, Actor("command_line", "root"))
        app = FastAPI()
        settings = Server(max_body_bytes=65_536, client_timeout_s=5)
        administration = Administration(
            self.store, self.tag_key, self.models, settings, lambda: self.policies, self.clock
        )
        app.include_router(admin_routes(administration))
        answer_failures(app)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._server = QuietServer(uvicorn.Config(app, log_config=None, lifespan="off"))
        self._serving = asyncio.create_task(self._server.serve(sockets=[self._listener]))
        await eventually(lambda: self._server.started)

    async def stop(self) -> None:
        self._server.should_exit = True
        await asyncio.wait_for(self._serving, LONGEST_S)
        await self.store.close()

    def send(
        self,
        method: str,
        path: str,
        body: object = None,
        key: str | None = "",
        headers: dict[str, str] | None = None,
    ) -> Answer:
        """`path` is below /v1/organization; `body` is JSON unless it is bytes; an empty `key` is the admin's."""
        sent = dict(headers or {})
        if key is not None:
            sent["Authorization"] = f"Bearer {key or self.key}"
        if body is not None and not isinstance(body, bytes):
            sent, body = {"Content-Type": "application/json"} | sent, json.dumps(body).encode()
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=LONGEST_S)
        try:
            connection.request(method, ORGANIZATION + path, body, sent)
            answer = connection.getresponse()
            return Answer(answer.status, answer.headers, json.loads(answer.read()))
        finally:
            connection.close()

    def get(self, path: str) -> Any:
        answer = self.send("GET", path)
        assert answer.status == 200, answer.json
        return answer.json

    def post(self, path: str, body: object = None) -> Any:
        answer = self.send("POST", path, body)
        assert answer.status == 200, answer.json
        return answer.json

    def project(self, name: str = "team", **more: Any) -> str:
        return self.post("/projects", {"name": name, **more})["id"]

    def new_key(self, project_id: str, name: str = "app", **more: Any) -> Json:
        return self.post(f"/projects/{project_id}/api_keys", {"name": name, **more})

    def sdk(self) -> OpenAI:
        return OpenAI(base_url=f"http://127.0.0.1:{self.port}/v1", admin_api_key=self.key, api_key="", max_retries=0)


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Office]:
    loop = uvloop.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    one = Office(loop, tmp_path_factory.mktemp("office"))
    one.run(one.start())
    yield one
    one.run(one.stop())
    loop.call_soon_threadsafe(loop.stop)
    thread.join(5)
    loop.close()
