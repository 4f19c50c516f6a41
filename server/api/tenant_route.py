"""How a request of a project reaches the endpoints of its files and batches: key first, errors in OpenAI's shape."""

from __future__ import annotations

import logging
from collections.abc import Callable, Coroutine
from typing import Annotated, Any, cast

from fastapi import Depends, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute

from server.api.caller import caller
from server.api.refusals import of_store, of_validation
from server.auth.keys import KeyRing
from server.call import Key
from server.errors import InvalidValue, StorageExhausted, StoreUnavailable
from server.stores.base import NotAllowed, NotThere, StoreDown
from server.stores.files import StorageFull

log = logging.getLogger("portico")
Handler = Callable[[Request], Coroutine[Any, Any, Response]]


def _key(request: Request) -> Key:
    return cast("Key", request.state.key)


Caller = Annotated[Key, Depends(_key)]
"""Parameter of an endpoint: who calls."""


def tenant_route(keys: KeyRing, endpoint: str) -> type[APIRoute]:
    """The class of the routes of `endpoint`, as keys name it. What they raise is a `GatewayError`, but for bugs."""

    class TenantRoute(APIRoute):
        def get_route_handler(self) -> Handler:
            answer = super().get_route_handler()

            async def handle(request: Request) -> Response:
                try:
                    request.state.key = await caller(request, keys, endpoint)
                    if b"%00" in request.scope["query_string"] or "\x00" in request.scope["path"]:
                        raise InvalidValue("A NUL character is in no id.")  # PostgreSQL has no such text
                    return await answer(request)
                except RequestValidationError as error:
                    raise of_validation(error) from None
                except StorageFull as error:
                    log.error("files: %s", error)
                    raise StorageExhausted(
                        "The server has no room left for files. Nothing was kept; tell its operator."
                    ) from None
                except StoreDown as error:
                    log.warning("files and batches: %s", error)
                    raise StoreUnavailable(
                        "Files and batches cannot be reached at the moment. Try again shortly.", retry_after=2
                    ) from None
                except (NotThere, NotAllowed) as error:
                    raise of_store(error) from None

            return handle

    return TenantRoute
