"""How a request reaches an endpoint of the administration: key first, then its body in bounds, then FastAPI."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Annotated, Any, Literal, NamedTuple, cast
from urllib.parse import parse_qsl, urlencode

from fastapi import Depends, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.types import Message, Receive

from server.api.admin.guard import AdminGuard
from server.api.plain import read_body
from server.api.refusals import of_store, of_validation
from server.config import Server
from server.errors import InvalidValue
from server.stores.base import NotAllowed, NotThere, StoreDown
from server.stores.records import Actor

Handler = Callable[[Request], Coroutine[Any, Any, Response]]


def _actor(request: Request) -> Actor:
    return cast("Actor", request.state.actor)


class Endpoint(NamedTuple):
    """A line of the table of routes. `path` is below /v1/organization."""

    method: Literal["GET", "POST", "DELETE"]
    path: str
    answer: Callable[..., Coroutine[Any, Any, dict[str, Any]]]
    summary: str


By = Annotated[Actor, Depends(_actor)]
"""Parameter of an endpoint: who calls."""


def admin_route(guard: AdminGuard, settings: Server) -> type[APIRoute]:
    """The class of routes that `guard` watches. What they raise is a `GatewayError`, but for bugs."""

    class AdminRoute(APIRoute):
        def get_route_handler(self) -> Handler:
            endpoint = super().get_route_handler()

            async def handle(request: Request) -> Response:
                try:
                    request.state.actor = await guard.admit(dict[bytes, bytes](request.scope["headers"]))
                    body = await read_body(request, settings)
                    scope = {**request.scope, "query_string": _query(request.scope)}
                    return await endpoint(Request(scope, _replay(body)))
                except RequestValidationError as error:
                    raise of_validation(error) from None
                except (StoreDown, NotThere, NotAllowed) as error:
                    raise of_store(error) from None

            return handle

    return AdminRoute


def _replay(body: bytes) -> Receive:
    async def receive() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    return receive


def _query(scope: Any) -> bytes:
    """Lists by one name: OpenAI's SDKs and description write `project_ids[]`, or `project_ids`."""
    text = scope["query_string"].decode("latin-1")
    if "%00" in text or "\x00" in scope["path"]:  # PostgreSQL has no such text
        raise InvalidValue("A NUL character is in no id and no name.")
    return urlencode([(name.removesuffix("[]"), value) for name, value in parse_qsl(text, True)]).encode()
