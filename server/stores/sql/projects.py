"""Projects."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Any

from msgspec.structs import replace
from sqlalchemy import insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from server.stores.base import NotAllowed
from server.stores.records import Actor, ProjectRecord
from server.stores.sql.change import Part
from server.stores.sql.codec import project_row, to_project
from server.stores.sql.pages import found, page
from server.stores.sql.tables import projects, state

_ITS_OWN = ("name", "weight", "policy")
_ITS_LIMITS = ("limits", "model_limits")
_CHANGEABLE = (*_ITS_OWN, *_ITS_LIMITS)


class Projects(Part):
    """See `stores.base.Directory`."""

    async def server_secret(self) -> bytes:
        async with self._database.reading() as connection:
            return (await connection.execute(select(state.c.secret))).scalar_one()

    async def create_project(self, name: str, actor: Actor) -> ProjectRecord:
        async with self._change(actor) as change:
            made = ProjectRecord(f"proj_{secrets.token_hex(12)}", name, change.at)
            await change.connection.execute(insert(projects).values(project_row(made)))
            change.note("project.created", made.id, made.id, {"name": name})
        return made

    async def projects(
        self, *, after: str | None = None, limit: int = 100, archived: bool = False
    ) -> list[ProjectRecord]:
        query = select(projects)
        if not archived:
            query = query.where(projects.c.archived_at.is_(None))
        async with self._database.reading() as connection:
            return [to_project(row) for row in await page(connection, query, projects, after, limit)]

    async def project(self, project_id: str) -> ProjectRecord:
        async with self._database.reading() as connection:
            return await project_of(connection, project_id)

    async def change_project(
        self, project_id: str, change: Callable[[ProjectRecord], ProjectRecord], actor: Actor
    ) -> ProjectRecord:
        async with self._change(actor) as open_change:
            before = await open_project(open_change.connection, project_id)
            wanted = change(before)
            after = replace(before, **{field: getattr(wanted, field) for field in _CHANGEABLE})
            for event, fields in (("project.updated", _ITS_OWN), ("rate_limit.updated", _ITS_LIMITS)):
                if asked := _differences(before, after, fields):
                    open_change.note(event, project_id, project_id, asked)
            if after != before:
                row = project_row(after)
                new = {field: row[field] for field in _CHANGEABLE}
                await open_change.connection.execute(update(projects).where(projects.c.id == project_id).values(new))
        return after

    async def archive_project(self, project_id: str, actor: Actor) -> ProjectRecord:
        async with self._change(actor) as change:
            project = await project_of(change.connection, project_id)
            if project.archived_at is not None:
                return project
            project = replace(project, archived_at=change.at)
            await change.connection.execute(
                update(projects).where(projects.c.id == project_id).values(archived_at=change.at)
            )
            change.note("project.archived", project_id, project_id, {"name": project.name})
        return project


async def project_of(connection: AsyncConnection, project_id: str) -> ProjectRecord:
    """Raises `NotThere`."""
    return to_project(await found(connection, select(projects).where(projects.c.id == project_id), "project"))


async def open_project(connection: AsyncConnection, project_id: str) -> ProjectRecord:
    """Raises `NotThere`, `NotAllowed` (archived)."""
    project = await project_of(connection, project_id)
    if project.archived_at is not None:
        raise NotAllowed(f"the project {project.name} is archived")
    return project


def _differences(before: ProjectRecord, after: ProjectRecord, fields: tuple[str, ...]) -> dict[str, Any]:
    return {field: new for field in fields if (new := getattr(after, field)) != getattr(before, field)}
