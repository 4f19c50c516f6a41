"""Is the engine well? GET /health over a plain connection."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket

from server.engines.managed.errors import EngineSetupError


async def healthy(host: str, port: int, timeout_s: float = 10.0) -> bool | None:
    """True for 200, False for another status (vLLM sends 503 when its engine process is dead), None for no answer."""
    try:
        async with asyncio.timeout(timeout_s):
            reader, writer = await asyncio.open_connection(host, port)
            try:
                writer.write(f"GET /health HTTP/1.1\r\nhost: {host}:{port}\r\nconnection: close\r\n\r\n".encode())
                await writer.drain()
                status = (await reader.readline()).split()
            finally:
                writer.close()
                with contextlib.suppress(OSError):
                    await writer.wait_closed()
    except (OSError, TimeoutError, asyncio.IncompleteReadError, ValueError):
        return None
    return status[1] == b"200" if len(status) > 1 else None


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
                "(0 takes a free one)."
            ) from None
        return int(trial.getsockname()[1])
