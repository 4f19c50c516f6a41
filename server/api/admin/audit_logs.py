"""/v1/organization/audit_logs, and in the same form /v1/organization/moderation/decisions"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated

from fastapi import Query
from pydantic import Field

from server.api.admin.administration import Administration
from server.api.admin.bodies import LATEST
from server.api.admin.route import Endpoint
from server.api.listing import Json, PageAsked, whole_listing
from server.stores.base import Directory, LogName, NotThere
from server.stores.records import Actor, AuditRecord

Time = Annotated[int, Field(ge=0, le=LATEST)]
Ids = Annotated[list[str], Field(max_length=100)]
OBJECTS: Mapping[LogName, str] = {"audit": "organization.audit_log", "decisions": "organization.moderation_decision"}


class AuditAsked(PageAsked):
    before: str | None = Field(default=None, max_length=128, description="Those before the one with this id.")
    project_ids: Ids = Field(default=[], description="Those of these projects.")
    event_types: Ids = Field(default=[], description="Such as project.created, or moderation.block.")
    actor_ids: Ids = Field(default=[], description="Ids of keys, and names of users at the command line.")
    resource_ids: Ids = Field(default=[], description="What was changed, or the request's id.")
    gt: Time | None = Field(default=None, alias="effective_at[gt]")
    gte: Time | None = Field(default=None, alias="effective_at[gte]")
    lt: Time | None = Field(default=None, alias="effective_at[lt]")
    lte: Time | None = Field(default=None, alias="effective_at[lte]")

    def since(self) -> int | None:
        return max((t for t in (self.gte, None if self.gt is None else self.gt + 1) if t is not None), default=None)

    def until(self) -> int | None:
        return min((t for t in (self.lte, None if self.lt is None else self.lt - 1) if t is not None), default=None)


class AuditLogs:
    def __init__(self, administration: Administration) -> None:
        self._store = administration.store

    def endpoints(self) -> Iterator[Endpoint]:
        yield Endpoint("GET", "/audit_logs", self.changes, "List changes, newest first")
        yield Endpoint("GET", "/moderation/decisions", self.decisions, "List decisions of moderation, newest first")

    async def changes(self, asked: Annotated[AuditAsked, Query()]) -> Json:
        return await self._list("audit", asked)

    async def decisions(self, asked: Annotated[AuditAsked, Query()]) -> Json:
        return await self._list("decisions", asked)

    async def _list(self, log: LogName, asked: AuditAsked) -> Json:
        found = await self._store.audit(
            log=log,
            after=asked.after,
            before=asked.before,
            limit=asked.limit + 1,
            events=asked.event_types,
            project_ids=asked.project_ids,
            actor_ids=asked.actor_ids,
            subject_ids=asked.resource_ids,
            since=asked.since(),
            until=asked.until(),
        )
        backwards = asked.before is not None and asked.after is None
        page = found[-asked.limit :] if backwards else found[: asked.limit]
        names = await project_names(self._store, {one.project_id for one in page if one.project_id is not None})
        return whole_listing([shape(one, names, OBJECTS[log]) for one in page], more=len(found) > asked.limit)


async def project_names(directory: Directory, ids: set[str]) -> dict[str, str]:
    """Names by id, without those that are not there."""
    names: dict[str, str] = {}
    for project_id in ids:
        try:
            names[project_id] = (await directory.project(project_id)).name
        except NotThere:
            continue
    return names


def shape(record: AuditRecord, project_names: Mapping[str, str], kind: str) -> Json:
    """Details stand under the name of the event, as OpenAI has it; number and hashes of the chain beside."""
    under = "changes_requested" if record.event.endswith(".updated") else "data"
    facts: Json = {
        "id": record.id,
        "object": kind,
        "type": record.event,
        "effective_at": record.at,
        "actor": _actor(record.actor),
        record.event: {"id": record.subject_id, under: record.details},
        "seq": record.seq,
        "previous": record.previous,
        "hash": record.hash,
    }
    if record.project_id is not None:
        name = project_names.get(record.project_id)
        facts["project"] = {"id": record.project_id} | ({} if name is None else {"name": name})
    return facts


def _actor(actor: Actor) -> Json:
    """Whoever has no key is a session for OpenAI; `kind` says what it really is."""
    facts: Json = {"kind": actor.kind, "name": actor.name}
    if actor.kind == "key":
        return {"type": "api_key", "api_key": {"id": actor.id, "type": "user"}} | facts
    if actor.kind == "admin_key":
        return {"type": "api_key", "api_key": {"id": actor.id, "type": "service_account"}} | facts
    return {"type": "session", "session": {"user": {"id": actor.id}}} | facts
