"""How commands speak to a running `portico serve`: a Unix socket that only its user can open.

One line of JSON each way: `{"command": "drain", "engine": "one"}`, and back `{"ok": true, "text": "..."}`.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import socket
from collections.abc import AsyncGenerator, Awaitable, Callable
from pathlib import Path
from typing import Any, cast

from server.config import Config

LONGEST_LINE = 4096
LONGEST_PATH = 100  # bytes; the kernel takes 107
ASK_S = 10.0  # for a client to say what it wants
ANSWER_S = 180.0  # a reload waits for new workers
Request = dict[str, Any]
Obey = Callable[[Request], Awaitable[str]]
log = logging.getLogger("portico")


class Refused(Exception):
    """The command cannot be done; one line for a person."""


def socket_path(config: Config, home: Path) -> Path:
    """Each service on a machine has a port of its own."""
    return home / "run" / f"{config.server.port}.sock"


@contextlib.asynccontextmanager
async def control_socket(path: Path, obey: Obey) -> AsyncGenerator[None]:
    """Take commands while the block runs. Where the socket cannot be made, the service goes on without it."""
    try:
        server = await _listen(path, obey)
    except OSError as error:
        log.warning(
            "%s: cannot be made: %s; portico reload and engine drain do not work", path, error.strerror or error
        )
        yield
        return
    try:
        yield
    finally:
        server.close()
        await asyncio.to_thread(path.unlink, missing_ok=True)


async def _listen(path: Path, obey: Obey) -> asyncio.Server:
    await asyncio.to_thread(_make_room, path)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.closing(writer), contextlib.suppress(OSError, TimeoutError, ValueError):
            async with asyncio.timeout(ASK_S):
                request = json.loads(await reader.readline())
            writer.write(json.dumps(await _answer(request, obey)).encode() + b"\n")
            async with asyncio.timeout(ASK_S):
                await writer.drain()

    return await asyncio.start_unix_server(serve, path, limit=LONGEST_LINE)


def _make_room(path: Path) -> None:
    """The folder is what keeps others out. Raises OSError."""
    if len(os.fsencode(path)) > LONGEST_PATH:
        raise OSError("the path is too long for a socket; set a shorter PORTICO_HOME")
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.parent.chmod(0o700)
    path.unlink(missing_ok=True)  # the port is ours: whoever left this is gone


async def _answer(request: object, obey: Obey) -> dict[str, Any]:
    if not isinstance(request, dict):
        return {"ok": False, "text": "not a command"}
    try:
        return {"ok": True, "text": await obey(cast("Request", request))}
    except Refused as refused:
        return {"ok": False, "text": str(refused)}


def ask(path: Path, request: Request) -> str:
    """The running service's answer. Raises `Refused`, also where none runs."""
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as one:
            one.settimeout(ANSWER_S)
            one.connect(os.fspath(path))
            one.sendall(json.dumps(request).encode() + b"\n")
            with one.makefile("rb") as answer:
                reply = json.loads(answer.readline() or b"{}")
    except (OSError, ValueError):
        raise Refused(
            f"Nothing answers at {path}: the service is not running, or runs with another configuration, PORTICO_HOME "
            "or user; name its configuration with --config."
        ) from None
    if not reply.get("ok"):
        raise Refused(str(reply.get("text") or "the service ended before it could answer"))
    return str(reply["text"])
