"""What the endpoints of the administration share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from time import time
from typing import Protocol

from msgspec.structs import replace

from server.api.admin.bodies import Grants
from server.call import ServedModel
from server.config import Server
from server.errors import InvalidValue
from server.moderation.policies import Loaded
from server.stores.base import AuditLog, Directory, Ledger
from server.stores.records import NO_GRANTS, KeyGrants


class Store(Directory, AuditLog, Ledger, Protocol):
    """The durable store with all its sides, which have one implementation."""


@dataclass(frozen=True)
class Administration:
    store: Store
    tag_key: bytes  # `secrets.tag_key`
    models: Mapping[str, ServedModel]  # by public id
    settings: Server
    policies: Callable[[], Loaded]  # those that are loaded now
    clock: Callable[[], float] = time

    def now(self) -> int:
        """Unix seconds."""
        return int(self.clock())

    def grants(self, asked: Grants, before: KeyGrants = NO_GRANTS) -> KeyGrants:
        """`before` with what was asked for in its place, aliases of models resolved. Raises `InvalidValue`."""
        grants = asked.changed(before)
        if not asked.models:
            return grants
        ids = {name: model.id for model in self.models.values() for name in (model.id, *model.config.aliases)}
        for index, name in enumerate(asked.models):
            if name not in ids:
                served = ", ".join(self.models)
                raise InvalidValue(f"Invalid 'models[{index}]': served are {served}.", param=f"models[{index}]")
        return replace(grants, models=tuple(dict.fromkeys(ids[name] for name in asked.models)))
