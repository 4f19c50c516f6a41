"""The tool servers of the configuration, and which of them a request may use.

No other server is ever spoken to: a request names one by its label, or by exactly its URL.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from msgspec import Raw

from server.config import Tools as Settings
from server.errors import UnsupportedValue
from server.responses.hosted import NO_OFFERS, ROLES, HostedTool, McpTool, Offer, Offers, Outcome, hosted_tools
from server.toolbox.server import Counted, Listing, Server
from server.toolbox.session import Session

_DOES = {"code_interpreter": "runs code", "web_search": "searches the web"}


class Wanted(NamedTuple):
    """A tool of a request, by its place among them, and the server that has it."""

    place: int
    asked: HostedTool
    server: Server


class Toolbox:
    """`start` and `stop` are awaited by the app."""

    def __init__(self, settings: Settings, counted: Counted) -> None:
        self.max_rounds = settings.max_rounds
        self._servers: Mapping[str, Server] = {
            name: Server(name, one, settings.list_s, settings.max_output_bytes, counted)
            for name, one in settings.servers.items()
        }

    def known(self, project_id: str, tools: Sequence[Raw] | None) -> Offers | None:
        """None where a server has to be asked first. Raises `InvalidRequest`."""
        wanted = self._wanted(project_id, tools)
        known = [listing for one in wanted if (listing := one.server.listing) is not None]
        return _offers(wanted, known) if len(known) == len(wanted) else None

    async def look(self, project_id: str, tools: Sequence[Raw] | None) -> Offers:
        """The same for whoever can wait. Raises `InvalidRequest`."""
        wanted = self._wanted(project_id, tools)
        return await _looked_up(wanted) if wanted else NO_OFFERS

    def visit(self) -> Visit:
        return Visit(self._servers)

    async def start(self) -> None:
        """Nothing has to be begun: a server is asked when it is first wanted."""

    async def stop(self) -> None:
        await asyncio.gather(*(one.stop() for one in self._servers.values()))

    def _wanted(self, project_id: str, tools: Sequence[Raw] | None) -> list[Wanted]:
        asked = hosted_tools(tools or ())
        return [Wanted(place, one, self._server(project_id, place, one)) for place, one in asked]

    def _server(self, project_id: str, place: int, asked: HostedTool) -> Server:
        """What another project may use is not there."""
        role = ROLES[asked.type]
        there = [one for one in self._servers.values() if one.settings.role == role and one.serves(project_id)]
        if not isinstance(asked, McpTool):
            if there:
                return there[0]
            raise UnsupportedValue(
                f"No tool server of this server {_DOES[role]}: offer a function tool instead, and run it yourself.",
                param=f"tools[{place}].type",
            )
        named = f"name one of these by 'server_label': {', '.join(one.name for one in there) or '(none)'}"
        if asked.server_url is not None:
            for one in there:
                if one.settings.url == asked.server_url:
                    return one
            raise UnsupportedValue(
                f"Only the tool servers of this server's configuration are used: {named}; and leave 'server_url' out.",
                param=f"tools[{place}].server_url",
            )
        for one in there:
            if one.name == asked.server_label:
                return one
        raise UnsupportedValue(f"There is no such tool server: {named}.", param=f"tools[{place}].server_label")


class Visit:
    """What one response asks of tool servers: a session with each, ended by `end`."""

    def __init__(self, servers: Mapping[str, Server]) -> None:
        self._servers = servers
        self._sessions: dict[str, Session] = {}

    async def call(self, server: str, tool: str, arguments: str) -> Outcome:
        """`server` by its name in the configuration. Never raises but when cancelled."""
        one = self._servers[server]
        if server not in self._sessions:
            self._sessions[server] = one.session()
        return await one.call(self._sessions[server], tool, arguments)

    def end(self) -> None:
        sessions, self._sessions = self._sessions, {}
        for name, session in sessions.items():
            self._servers[name].leave(session)


def _offers(wanted: Sequence[Wanted], listings: Sequence[Listing]) -> Offers:
    return {
        one.place: Offer(one.server.name, one.asked, listing.tools, listing.error)
        for one, listing in zip(wanted, listings, strict=True)
    }


async def _looked_up(wanted: Sequence[Wanted]) -> Offers:
    return _offers(wanted, await asyncio.gather(*(one.server.tools() for one in wanted)))
