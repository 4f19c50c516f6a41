"""Tenants for the behaviour tests: projects and keys made in a running Portico's database, past it."""

from __future__ import annotations

from dataclasses import dataclass, field
from time import time
from typing import Any

from msgspec.structs import replace

from server.auth.secrets import new_secret, tag_key
from server.config import Limit
from server.stores.records import Actor, KeyGrants, KeyRecord, ProjectRecord
from server.stores.sql.store import SqlStore
from tests.behaviour.serving import Gate

ACTOR = Actor("command_line", "tester")


@dataclass
class Tenants:
    """`store` is the running Portico's own, unless another connection is wanted."""

    gate: Gate
    store: SqlStore = field(init=False)
    made: int = 0

    def __post_init__(self) -> None:
        self.store = self.gate.parts.durable

    async def project(self, **settings: Any) -> ProjectRecord:
        project = await self.store.create_project("team", ACTOR)
        if settings:
            return await self.store.change_project(project.id, lambda before: replace(before, **settings), ACTOR)
        return project

    async def key(
        self, project: ProjectRecord | None = None, *, expires_at: int | None = None, **grants: Any
    ) -> tuple[str, KeyRecord]:
        """The secret and its record."""
        project = project or await self.project()
        secret = new_secret("key", tag_key(self.gate.server_secret))
        record = KeyRecord(
            f"key_{secret.lookup}", project.id, "k", secret.lookup, secret.digest, secret.redacted, int(time()),
            KeyGrants(**grants), expires_at=expires_at,
        )  # fmt: skip
        await self.store.create_key(record, ACTOR)
        return secret.secret, record

    async def limited(self, **limits: Any) -> str:
        """The secret of a key with these limits."""
        secret, _ = await self.key(limits=Limit(**limits))
        return secret
