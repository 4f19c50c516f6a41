"""The worker processes: started, watched, started again, replaced, stopped."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import signal
import socket
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from time import monotonic

from prometheus_client import multiprocess

from server.config import Config
from server.engines.engine import EngineAddress
from server.telemetry.folder import MetricsFolder
from server.telemetry.status import forget_status

RESTART_DELAY_S = 1.0
LONGEST_DELAY_S = 30.0
FIRST_MOMENTS_S = 10.0
STOP_MARGIN_S = 10.0
READY_S = 60.0  # for new workers
DEAF_S = 5.0  # for old ones to take no more connections
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


@dataclass(frozen=True)
class Settings:
    """What workers serve."""

    config: Config
    addresses: Mapping[str, EngineAddress]


class Worker:
    """One process. `seat` is the number of its files in the metrics folder: no two that live have the same."""

    def __init__(self, process: asyncio.subprocess.Process, seat: int, ready: socket.socket) -> None:
        self.process = process
        self.seat = seat
        self._ready = ready

    @property
    def lives(self) -> bool:
        return self.process.returncode is None

    async def ready(self) -> bool:
        """Whether it came to serve; waits until that is known."""
        return bool(await asyncio.get_running_loop().sock_recv(self._ready, 1))

    async def retire(self, grace_s: float) -> None:
        """Let it finish what it has; waits until it takes no more connections."""
        self.tell({"retire": grace_s})
        with contextlib.suppress(OSError):  # TimeoutError is one
            async with asyncio.timeout(DEAF_S):
                while await asyncio.get_running_loop().sock_recv(self._ready, 1):
                    pass

    def tell(self, command: Mapping[str, object]) -> None:
        """A line for `server.worker`'s standard input."""
        if self.lives and self.process.stdin is not None and not self.process.stdin.is_closing():
            self.process.stdin.write(json.dumps(command).encode() + b"\n")

    async def wait(self) -> int:
        try:
            return await self.process.wait()
        finally:
            self._ready.close()

    def signal(self, number: signal.Signals) -> None:
        if self.lives:
            self.process.send_signal(number)


class Workers:
    """Runs one process per listener. `replace` puts new ones in their places; the old ones finish what they have."""

    def __init__(self, settings: Settings, sockets: list[socket.socket], server_secret: bytes) -> None:
        self._settings = settings
        self._server_secret = server_secret
        self._sockets = sockets
        self._folder = MetricsFolder()
        self.metrics_folder = self._folder.path
        self._current: dict[int, Worker] = {}  # by slot
        self._living: set[Worker] = set()
        self._seats: set[int] = set()  # that are taken, by the living and by those that are being started
        self._keepers: dict[int, asyncio.Task[None]] = {}  # by slot
        self._retiring: set[asyncio.Task[None]] = set()
        self._drained: frozenset[str] = frozenset()
        self._stopping = False
        self._failed = asyncio.Event()

    def start(self) -> None:
        for slot in range(len(self._sockets)):
            self._keep(slot, None)

    async def failed(self) -> None:
        """Waits; raises `CannotServe` once a worker has ended in its first moments."""
        await self._failed.wait()
        raise CannotServe("The gateway process ended as soon as it was started; the lines above say why.")

    async def replace(self, settings: Settings) -> None:
        """Serve `settings` by new workers, without a moment in which nobody does; who connects then meets those alone.

        Raises `CannotServe`: as before.
        """
        before, self._settings = self._settings, settings
        new: list[Worker] = []
        try:
            async with asyncio.timeout(READY_S):
                for slot in range(len(self._sockets)):
                    new.append(await self._start(slot))
                for one in new:
                    if not await one.ready():
                        raise CannotServe("A new gateway process ended at once; its lines in the log say why.")
        except (CannotServe, OSError) as error:  # TimeoutError is one
            self._settings = before
            for one in new:
                one.signal(signal.SIGKILL)
                self._retire(one)
            if isinstance(error, CannotServe):
                raise
            why = error.strerror or "they are not ready in time"
            raise CannotServe(f"New gateway processes cannot be started: {why}.") from None
        old = [self._current.get(slot) for slot in range(len(new))]
        for slot, one in enumerate(new):
            self._keepers[slot].cancel()
            self._keep(slot, one)
        retiring = [one for one in old if one is not None and one.lives]
        for one in retiring:
            self._retire(one)
        await asyncio.gather(*[one.retire(before.config.server.reload_grace_s) for one in retiring])

    def drain(self, engines: frozenset[str]) -> None:
        """These get no more calls, from workers of later too."""
        self._drained = engines
        for one in self._living:
            one.tell({"drained": sorted(engines)})

    def hurry(self) -> None:
        """A second SIGTERM: the workers end what is still open at once."""
        for one in self._living:
            one.signal(signal.SIGTERM)

    async def stop(self) -> None:
        """SIGTERM, the grace time, SIGKILL."""
        self._stopping = True
        for listener in self._sockets:
            listener.close()  # with the workers' own, this refuses new clients; ours alone would leave them waiting
        self.hurry()
        tasks = [*self._keepers.values(), *self._retiring]
        if tasks:
            await asyncio.wait(tasks, timeout=self._settings.config.server.shutdown_grace_s + STOP_MARGIN_S)
        for one in self._living:
            one.signal(signal.SIGKILL)
        await asyncio.gather(*tasks, return_exceptions=True)
        self._folder.remove()

    def _keep(self, slot: int, worker: Worker | None) -> None:
        if worker is not None:
            self._current[slot] = worker
        task = self._keep_going(slot, worker)
        self._keepers[slot] = asyncio.get_running_loop().create_task(task, name=f"worker {slot}")

    def _retire(self, worker: Worker) -> None:
        """Wait for its end, beside."""
        task = asyncio.get_running_loop().create_task(self._end_of(worker), name="retiring worker")
        self._retiring.add(task)
        task.add_done_callback(self._retiring.discard)

    async def _end_of(self, worker: Worker) -> None:
        await worker.wait()
        self._leave(worker)

    async def _keep_going(self, slot: int, worker: Worker | None) -> None:
        wait, first = RESTART_DELAY_S, worker is None
        while not self._stopping:
            began = monotonic()
            try:
                worker = worker or await self._start(slot)
            except OSError as error:  # no memory or no process left: try again later
                log.error("worker %d cannot be started: %s", slot, error.strerror)
                await asyncio.sleep(LONGEST_DELAY_S)
                continue
            self._current[slot] = worker
            status = await worker.wait()
            self._leave(worker)
            worker = None
            if self._stopping:
                return
            at_once = monotonic() - began < FIRST_MOMENTS_S
            if first and at_once and status > 0:  # by itself, and not because somebody killed it
                self._failed.set()
                return
            wait, first = min(wait * 2, LONGEST_DELAY_S) if at_once else RESTART_DELAY_S, False
            log.error("worker %d ended with status %s; starting it again in %.0f s", slot, status, wait)
            await asyncio.sleep(wait)

    def _leave(self, worker: Worker) -> None:
        """It has ended, and its seat is free. Its gauges must not stay in the sums; its counters must."""
        if worker not in self._living:
            return
        self._living.discard(worker)
        self._seats.discard(worker.seat)
        multiprocess.mark_process_dead(worker.seat, str(self.metrics_folder))  # pyright: ignore[reportUnknownMemberType]
        forget_status(self.metrics_folder, worker.seat)

    async def _start(self, slot: int) -> Worker:
        listener, (ours, theirs) = self._sockets[slot].fileno(), socket.socketpair()
        ours.setblocking(False)
        seat = next(number for number in range(len(self._seats) + 1) if number not in self._seats)
        self._seats.add(seat)
        with theirs:
            try:
                process = await asyncio.create_subprocess_exec(
                    sys.executable,
                    "-m",
                    "server.worker",
                    stdin=asyncio.subprocess.PIPE,
                    pass_fds=(listener, theirs.fileno()),
                    env={**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(self.metrics_folder)},
                    start_new_session=True,  # Ctrl-C reaches the parent alone, which then drains the workers
                )
            except BaseException:
                ours.close()
                self._seats.discard(seat)
                raise
            worker = Worker(process, seat, ours)
            self._living.add(worker)
            worker.tell(self._told(slot, seat) | {"fd": listener, "ready_fd": theirs.fileno()})
        if self._stopping:  # the stop came while it was being born
            worker.signal(signal.SIGTERM)
        return worker

    def _told(self, slot: int, seat: int) -> dict[str, object]:
        return {
            "config": self._settings.config.model_dump(mode="json"),
            "addresses": {
                name: {"url": one.url, "api_key": one.api_key} for name, one in self._settings.addresses.items()
            },
            "secret": self._server_secret.hex(),
            "slot": slot,
            "seat": seat,
            "drained": sorted(self._drained),
        }
