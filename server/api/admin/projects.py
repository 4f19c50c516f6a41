"""/v1/organization/projects"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

from fastapi import Query
from pydantic import Field

from server.api.admin.administration import Administration
from server.api.admin.bodies import NewProject, ProjectChange
from server.api.admin.route import By, Endpoint
from server.api.admin.shapes import project_shape
from server.api.listing import Json, PageAsked, listing
from server.stores.base import Directory
from server.stores.records import Actor, ProjectRecord


class ProjectsAsked(PageAsked):
    include_archived: bool = Field(default=False, description="Archived ones too.")


class Projects:
    def __init__(self, administration: Administration) -> None:
        self._store = administration.store

    def endpoints(self) -> Iterator[Endpoint]:
        yield Endpoint("GET", "/projects", self.list, "List projects")
        yield Endpoint("POST", "/projects", self.create, "Create a project")
        yield Endpoint("GET", "/projects/{project_id}", self.retrieve, "Retrieve a project")
        yield Endpoint("POST", "/projects/{project_id}", self.change, "Change a project")
        yield Endpoint("POST", "/projects/{project_id}/archive", self.archive, "Archive a project: its keys stop")

    async def list(self, asked: Annotated[ProjectsAsked, Query()]) -> Json:
        found = await self._store.projects(after=asked.after, limit=asked.limit + 1, archived=asked.include_archived)
        return listing([project_shape(project) for project in found], asked.limit)

    async def create(self, body: NewProject, by: By) -> Json:
        return project_shape(await new_project(self._store, body, by))

    async def retrieve(self, project_id: str) -> Json:
        return project_shape(await self._store.project(project_id))

    async def change(self, project_id: str, body: ProjectChange, by: By) -> Json:
        return project_shape(await self._store.change_project(project_id, body.changed, by))

    async def archive(self, project_id: str, by: By) -> Json:
        return project_shape(await self._store.archive_project(project_id, by))


async def new_project(directory: Directory, body: NewProject, actor: Actor) -> ProjectRecord:
    project = await directory.create_project(body.name, actor)
    if body.changed(project) == project:
        return project
    return await directory.change_project(project.id, body.changed, actor)
