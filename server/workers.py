"""The worker processes: started, watched, started again, stopped."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import socket
import sys
from collections.abc import Mapping
from time import monotonic

from prometheus_client import multiprocess

from server.app import EngineAddress
from server.config import Config
from server.telemetry.folder import MetricsFolder

RESTART_DELAY_S = 1.0
LONGEST_DELAY_S = 30.0
FIRST_MOMENTS_S = 10.0
STOP_MARGIN_S = 10.0
log = logging.getLogger("portico")


class CannotListen(Exception):
    """One line for a person: the address is taken or not ours."""


def listeners(host: str, port: int, count: int, option: str) -> list[socket.socket]:
    """`count` bound sockets on one port, one for each worker. Raises `CannotListen`; `option` names the setting."""
    first = _bind(host, port, reuse=False, option=option)
    if count == 1:
        return [first]
    port = first.getsockname()[1]
    first.close()  # was bound alone, so the port is free; now share it among the workers
    return [_bind(host, port, reuse=True, option=option) for _ in range(count)]


def _bind(host: str, port: int, *, reuse: bool, option: str) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if reuse:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    try:
        listener.bind((host, port))
        listener.listen(4096)
    except socket.gaierror as error:
        listener.close()
        raise CannotListen(
            f"Cannot listen on {host}: {(error.strerror or 'no such host').lower()}. Give an address of this machine."
        ) from None
    except OSError as error:
        listener.close()
        raise CannotListen(
            f"Cannot listen on {host}:{port}: {error.strerror or error}. Set another {option}, or stop what uses it."
        ) from None
    return listener


class CannotServe(Exception):
    """A worker ended as soon as it was started; its own log lines say why."""


class Workers:
    """Runs one process per listener. Each has a numbered slot, so that its metrics go on after a restart."""

    def __init__(
        self,
        config: Config,
        addresses: Mapping[str, EngineAddress],
        sockets: list[socket.socket],
        server_secret: bytes,
    ) -> None:
        self._config = config
        self._server_secret = server_secret
        self._sockets = sockets
        self._addresses = {name: {"url": one.url, "api_key": one.api_key} for name, one in addresses.items()}
        self._folder = MetricsFolder()
        self.metrics_folder = self._folder.path
        self._processes: dict[int, asyncio.subprocess.Process] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._stopping = False
        self._failed = asyncio.Event()

    def start(self) -> None:
        loop = asyncio.get_running_loop()
        self._tasks = [loop.create_task(self._keep(slot), name=f"worker {slot}") for slot in range(len(self._sockets))]

    async def failed(self) -> None:
        """Waits; raises `CannotServe` once a worker has ended in its first moments."""
        await self._failed.wait()
        raise CannotServe("The gateway process ended as soon as it was started; the lines above say why.")

    def hurry(self) -> None:
        """A second SIGTERM: the workers end what is still open at once."""
        for process in self._processes.values():
            if process.returncode is None:
                process.send_signal(signal.SIGTERM)

    async def stop(self) -> None:
        """SIGTERM, the grace time, SIGKILL."""
        self._stopping = True
        for listener in self._sockets:
            listener.close()  # with the workers' own, this refuses new clients; ours alone would leave them waiting
        for process in self._processes.values():
            if process.returncode is None:
                process.send_signal(signal.SIGTERM)
        grace = self._config.server.shutdown_grace_s + STOP_MARGIN_S
        await asyncio.wait(self._tasks, timeout=grace)
        for process in self._processes.values():
            if process.returncode is None:
                process.kill()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._folder.remove()

    async def _keep(self, slot: int) -> None:
        wait, first = RESTART_DELAY_S, True
        while not self._stopping:
            began = monotonic()
            try:
                process = await self._start(slot)
            except OSError as error:  # no memory or no process left: try again later
                log.error("worker %d cannot be started: %s", slot, error.strerror)
                await asyncio.sleep(LONGEST_DELAY_S)
                continue
            status = await process.wait()
            # Gauges of a dead process must not stay in the sums; its counters must.
            multiprocess.mark_process_dead(slot, str(self.metrics_folder))  # pyright: ignore[reportUnknownMemberType]
            if self._stopping:
                return
            at_once = monotonic() - began < FIRST_MOMENTS_S
            if first and at_once and status > 0:  # by itself, and not because somebody killed it
                self._failed.set()
                return
            wait, first = min(wait * 2, LONGEST_DELAY_S) if at_once else RESTART_DELAY_S, False
            log.error("worker %d ended with status %s; starting it again in %.0f s", slot, status, wait)
            await asyncio.sleep(wait)

    async def _start(self, slot: int) -> asyncio.subprocess.Process:
        fd = self._sockets[slot].fileno()
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "server.worker",
            stdin=asyncio.subprocess.PIPE,
            pass_fds=(fd,),
            env={**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(self.metrics_folder)},
            start_new_session=True,  # Ctrl-C reaches the parent alone, which then drains the workers
        )
        self._processes[slot] = process
        settings = {
            "config": self._config.model_dump(mode="json"),
            "addresses": self._addresses,
            "secret": self._server_secret.hex(),
            "slot": slot,
            "fd": fd,
        }
        assert process.stdin is not None  # noqa: S101
        process.stdin.write(json.dumps(settings).encode() + b"\n")
        if self._stopping:  # the stop came while it was being born
            process.send_signal(signal.SIGTERM)
        return process
