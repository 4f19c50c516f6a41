"""Is the engine well, and is it ours? GET over a plain connection. And the port that it listens on."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket

from server.engines.managed.errors import EngineSetupError


async def healthy(host: str, port: int, timeout_s: float = 10.0) -> bool | None:
    """True for 200, False for another status (vLLM sends 503 when its engine process is dead), None for no answer."""
    status = await _status(host, port, "/health", "", timeout_s)
    return None if status is None else status == 200


async def ours(host: str, port: int, api_key: str, timeout_s: float = 10.0) -> bool | None:
    """Whether what listens there takes the key that was made for this start; None for no answer."""
    status = await _status(host, port, "/v1/models", f"authorization: Bearer {api_key}\r\n", timeout_s)
    return None if status is None else status == 200


async def _status(host: str, port: int, path: str, headers: str, timeout_s: float) -> int | None:
    try:
        async with asyncio.timeout(timeout_s):
            reader, writer = await asyncio.open_connection(host, port)
            try:
                writer.write(
                    f"GET {path} HTTP/1.1\r\nhost: {host}:{port}\r\n{headers}connection: close\r\n\r\n".encode()
                )
                await writer.drain()
                words = (await reader.readline()).split()
            finally:
                writer.close()
                with contextlib.suppress(OSError):
                    await writer.wait_closed()
    except (OSError, TimeoutError, asyncio.IncompleteReadError, ValueError):
        return None
    return int(words[1]) if len(words) > 1 and words[1].isdigit() else None


def reserve_port(port: int) -> socket.socket | None:
    """Keep other Porticos off the port until the socket is closed; None if one has it.

    vLLM binds its port at once and listens minutes later: until then a second one that tries the port finds it free.
    An abstract socket goes with its process and is seen where the port is: in this network namespace.
    """
    mark = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        mark.bind(f"\0portico-engine-{port}")
    except OSError:
        mark.close()
        return None
    return mark


def take_port(host: str, port: int) -> int:
    """A port that can be listened on: `port`, or a free one for 0. Raises `EngineSetupError` where it is taken."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trial.bind((host, port))
        except OSError as error:
            why = "is taken" if error.errno == errno.EADDRINUSE else f"cannot be used ({error.strerror})"
            raise EngineSetupError(
                f"Port {port} on {host} {why}: stop what uses it, or set engines.local.managed.port to another one "
                "(PORTICO__ENGINES__LOCAL__MANAGED__PORT=0 takes a free one)."
            ) from None
        return int(trial.getsockname()[1])
