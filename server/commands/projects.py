"""`portico projects create|list|show|change|archive`."""

from __future__ import annotations

import argparse
from functools import partial
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from server.api.admin.bodies import NewProject, ProjectChange
from server.api.admin.projects import new_project
from server.api.admin.shapes import limits_shape, project_shape
from server.call import NO_LIMITS
from server.commands.arguments import add_limits, merged, model_limit
from server.commands.durable import actor, add_action, all_projects, asked, find_project, say, show, show_one
from server.config import Limit
from server.stores.records import ProjectRecord
from server.stores.sql.store import SqlStore

if TYPE_CHECKING:
    Subparsers = argparse._SubParsersAction[argparse.ArgumentParser]  # pyright: ignore[reportPrivateUsage]


def add_projects_commands(commands: Subparsers) -> None:
    projects = commands.add_parser("projects", help="projects: the tenants that share the engines")
    actions = projects.add_subparsers(title="actions", metavar="ACTION", required=True)
    create = add_action(actions, "create", _create, "create a project and print its id")
    create.add_argument("name", metavar="NAME")
    create.add_argument("--weight", type=float, metavar="W", help="share of busy engines beside other projects (1)")
    create.add_argument("--policy", metavar="NAME", help="a moderation policy for all its calls")
    add_limits(create)
    listed = add_action(actions, "list", _list, "list the projects")
    listed.add_argument("--archived", action="store_true", help="archived ones too")
    one = add_action(actions, "show", _show, "show a project")
    change = add_action(actions, "change", _change, "change a project; what is not named stays")
    archive = add_action(actions, "archive", _archive, "archive a project: its keys stop working")
    for action in (one, change, archive):
        action.add_argument("project", metavar="PROJECT", help="id or name")
    change.add_argument("--name", metavar="NAME")
    change.add_argument("--weight", type=float, metavar="W")
    policy = change.add_mutually_exclusive_group()
    policy.add_argument("--policy", metavar="NAME", help="a moderation policy for all its calls")
    policy.add_argument("--no-policy", action="store_true", help="none of its own any more")
    add_limits(change)
    change.add_argument(
        "--model-limit",
        action="append",
        type=model_limit,
        default=[],
        dest="model_limits",
        metavar="MODEL:KIND=N",
        help="of this project's calls to one model; may be repeated",
    )


async def _create(arguments: argparse.Namespace, store: SqlStore) -> None:
    limits = merged(None, arguments.limits)
    body = asked(NewProject, name=arguments.name, weight=arguments.weight, limits=limits, policy=arguments.policy)
    project = await new_project(store, body, actor())
    if arguments.json:
        show_one(facts(project), as_json=True)
        return
    say(f"Created the project {project.name}. `portico keys create --project {project.id}` makes a key for it.")
    print(project.id)


async def _list(arguments: argparse.Namespace, store: SqlStore) -> None:
    rows = [facts(project) async for project in all_projects(store, archived=arguments.archived)]
    show(rows, ("id", "name", "status", "weight", "policy", "limits"), as_json=arguments.json)


async def _show(arguments: argparse.Namespace, store: SqlStore) -> None:
    show_one(facts(await find_project(store, arguments.project)), as_json=arguments.json)


async def _change(arguments: argparse.Namespace, store: SqlStore) -> None:
    found = await find_project(store, arguments.project)
    project = await store.change_project(found.id, partial(_changed, arguments), actor())
    show_one(facts(project), as_json=arguments.json)


def _changed(arguments: argparse.Namespace, before: ProjectRecord) -> ProjectRecord:
    """Raises `Failed`."""
    limits = merged(before.limits, arguments.limits)
    body = asked(ProjectChange, name=arguments.name, weight=arguments.weight, limits=limits, policy=arguments.policy)
    models = dict(before.model_limits)
    for model, change in arguments.model_limits:
        models[model] = asked(ProjectChange, limits=merged(models.get(model), [change])).limits or NO_LIMITS
    after = replace(
        body.changed(before), model_limits={model: limit for model, limit in models.items() if limit != NO_LIMITS}
    )
    return replace(after, policy=None) if arguments.no_policy else after


async def _archive(arguments: argparse.Namespace, store: SqlStore) -> None:
    project = await store.archive_project((await find_project(store, arguments.project)).id, actor())
    say(f"Archived the project {project.name}: its keys do not work any more.")
    if arguments.json:
        show_one(facts(project), as_json=True)


def facts(project: ProjectRecord) -> dict[str, Any]:
    return project_shape(project) | {"model_limits": {name: _of(limit) for name, limit in project.model_limits.items()}}


def _of(limit: Limit) -> dict[str, Any]:
    return limits_shape(limit) or {}
