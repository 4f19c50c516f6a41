"""Whose request it is, of those that FastAPI serves."""

from __future__ import annotations

from fastapi import Request

from server.api.calls import check_endpoint
from server.auth.keys import KeyRing
from server.call import Key


async def caller(request: Request, keys: KeyRing, endpoint: str) -> Key:
    """A key that may use `endpoint`, as keys name it. Raises `GatewayError`."""
    key = await keys.identify(dict[bytes, bytes](request.scope["headers"]))
    check_endpoint(key, endpoint)
    return key
