"""One configured tool server: what it offers, remembered for a while, and calls of its tools, in time and bounded."""

from __future__ import annotations

import asyncio
import logging
from time import perf_counter
from typing import Any, NamedTuple, Protocol

import msgspec

from server.config import ToolServer
from server.responses.hosted import Listed, Outcome, execution_error
from server.toolbox.faults import ToolFault, timed_out
from server.toolbox.http import ToolHttp
from server.toolbox.session import Session

LIST_S = 10.0  # at most: a response waits for it before it begins
AGAIN_S = 5.0  # a server that gave no list is asked again then
GOODBYE_S = 2.0
_ARGUMENTS = msgspec.json.Decoder(dict[str, Any])
log = logging.getLogger("portico")


class Counted(Protocol):
    """Hears of each call: how it ended, by a word of ours, and how long it took."""

    def called(self, server: str, outcome: str, seconds: float) -> None: ...

    def listed(self, server: str, outcome: str) -> None: ...


class Listing(NamedTuple):
    """What a server offers; `error` says why nothing. Good until `until`, in `perf_counter` seconds."""

    tools: tuple[Listed, ...]
    error: str | None
    until: float


class Server:
    """`most` bytes of a tool's output are kept."""

    def __init__(self, name: str, settings: ToolServer, list_s: float, most: int, counted: Counted) -> None:
        self.name = name
        self.settings = settings
        self._http = ToolHttp(settings.url, settings.headers)
        self._list_s = list_s
        self._most = most
        self._counted = counted
        self._room = asyncio.Semaphore(settings.max_in_flight)
        self._listing: Listing | None = None
        self._asking: asyncio.Task[Listing] | None = None
        self._ending: set[asyncio.Task[None]] = set()

    def serves(self, project_id: str) -> bool:
        return self.settings.projects is None or project_id in self.settings.projects

    @property
    def listing(self) -> Listing | None:
        """If it is still good."""
        known = self._listing
        return known if known is not None and perf_counter() < known.until else None

    async def tools(self) -> Listing:
        """Asked once for all who want to know it at the same time, and to its end whoever leaves."""
        known = self.listing
        if known is not None:
            return known
        if self._asking is None or self._asking.done():
            self._asking = asyncio.get_running_loop().create_task(self._ask(), name="list tools")
        return await asyncio.shield(self._asking)

    def session(self) -> Session:
        return Session(self._http)

    async def call(self, session: Session, tool: str, arguments: str) -> Outcome:
        """`arguments` as the model wrote them. Never raises but when cancelled."""
        started, outcome = perf_counter(), "cancelled"
        try:
            told = await self._call(session, tool, arguments)
            outcome = "ok" if told.error is None else "tool_error"
            return told
        except ToolFault as fault:
            outcome = fault.failure
            return Outcome(None, fault.error)
        finally:
            self._counted.called(self.name, outcome, perf_counter() - started)

    def leave(self, session: Session) -> None:
        """Nothing more is asked in it: the server may forget it."""
        if session.open:
            task = asyncio.get_running_loop().create_task(self._goodbye(session), name="leave a tool server")
            self._ending.add(task)
            task.add_done_callback(self._ending.discard)

    async def stop(self) -> None:
        asking = () if self._asking is None else (self._asking,)
        for task in asking:
            task.cancel()
        await asyncio.gather(*asking, *self._ending, return_exceptions=True)

    async def _call(self, session: Session, tool: str, arguments: str) -> Outcome:
        allowed = self.settings.allowed_tools
        if allowed is not None and tool not in allowed:
            return Outcome(None, execution_error("This tool may not be used."))
        try:
            given = _ARGUMENTS.decode(arguments or "{}")
        except msgspec.DecodeError:
            return Outcome(None, execution_error("The arguments are not a JSON object."))
        try:
            async with asyncio.timeout(self.settings.timeout_s), self._room:
                return await session.call(tool, given, self._most)
        except TimeoutError:
            raise timed_out() from None

    async def _ask(self) -> Listing:
        session = self.session()
        try:
            async with asyncio.timeout(min(LIST_S, self.settings.timeout_s)):
                tools = self._allowed(await session.tools())
            listing = Listing(tools, None, perf_counter() + self._list_s)
            self._counted.listed(self.name, "ok")
        except (ToolFault, TimeoutError) as error:
            fault = error if isinstance(error, ToolFault) else timed_out()
            self._counted.listed(self.name, fault.failure)
            log.warning("tool server %s: its tools cannot be listed: %s", self.name, fault.failure)
            listing = Listing((), str(fault), perf_counter() + AGAIN_S)
        finally:
            self.leave(session)
        self._listing = listing
        return listing

    def _allowed(self, tools: list[Listed]) -> tuple[Listed, ...]:
        allowed = self.settings.allowed_tools
        return tuple(one for one in tools if allowed is None or one.name in allowed)

    async def _goodbye(self, session: Session) -> None:
        """It need not answer: a session that nobody ends is forgotten some time."""
        try:
            async with asyncio.timeout(GOODBYE_S):
                await session.close()
        except (ToolFault, TimeoutError):
            pass
