"""The policies that are loaded, by name: read at the start, and again when their files change.

A call keeps the rulesets that it began with, so a reload ends no stream and changes none. A policy that cannot be
loaded leaves the one before in force, and is told in the log.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path

from server.call import Call, Key
from server.config import ConfigError
from server.errors import InvalidValue, ModelNotFound, ModerationUnavailable
from server.moderation.files import load_policy
from server.moderation.jury import NewSeat
from server.moderation.ruleset import Ruleset
from server.moderation.screens import Build

OPENAI_MODELS = ("omni-moderation-", "text-moderation-")
"""How the names of OpenAI's own models begin: they mean what applies anyhow, so that programs need no change."""
NO_KEY = "they are kept encrypted only: set stores.encryption.key in the configuration, or leave them out"
log = logging.getLogger("portico")
Stamp = tuple[tuple[str, int, int], ...]
"""Of files: name, time of the last change in nanoseconds, size."""


class Loaded:
    """What one reading of all files gave. `mandatory` is the policy of every call."""

    def __init__(self, rulesets: Mapping[str, Ruleset], mandatory: Ruleset | None) -> None:
        self.rulesets = rulesets
        self.mandatory = mandatory


class PolicyPlaces:
    """Where policies are: the one of the configuration, and folders of those that keys and requests may name."""

    def __init__(
        self,
        policy: Path | str | None,
        folders: Sequence[Path],
        build: Build,
        new_seat: NewSeat,
        known_good: Collection[Path] = (),
        *,
        seals: bool = False,
    ) -> None:
        """`policy` is a file, or the name of one in the folders. What is in folders of `known_good` policies is built
        when it is first needed: nobody may ever name it. `seals`: there is a key to encrypt excerpts by.
        """
        self._seals = seals
        self._policy = policy if isinstance(policy, Path) else None
        self._name = policy if isinstance(policy, str) else None
        self._folders = folders
        self._known_good = known_good
        self._build = build
        self._new_seat = new_seat
        self._beside: dict[Path, list[Path]] = {}  # by policy: the files it named when it was last read

    def load(self) -> Loaded:
        """Raises `ConfigError`."""
        rulesets: dict[str, Ruleset] = {}
        mandatory: Ruleset | None = None
        for path in self._paths():
            policy = load_policy(path, partial(self._beside.__setitem__, path))
            if policy.file.audit.excerpts is not None and not self._seals:
                raise ConfigError(f"{path}: audit.excerpts: {NO_KEY}")
            ruleset = Ruleset(policy, self._build, self._new_seat)
            name = ruleset.policy.name
            if name in rulesets:
                raise ConfigError(f"{path}: name: another policy is called {name} too")
            rulesets[name] = ruleset
            if path == self._policy or name == self._name:
                mandatory = ruleset
            if ruleset is mandatory or path.parent not in self._known_good:
                ruleset.prepare()
        if self._name is not None and mandatory is None:
            there = ", ".join(rulesets) or "none"
            raise ConfigError(f"moderation.policy: no policy is called {self._name}; policies: {there}")
        return Loaded(rulesets, mandatory)

    def stamp(self) -> Stamp:
        """Changes whenever a file does that `load` has read or missed. What cannot be looked at counts as absent."""
        found: list[tuple[str, int, int]] = []
        for path in self._paths():
            for file in (path, *self._beside.get(path, ())):
                try:
                    stat = file.stat()
                except OSError:
                    continue
                found.append((str(file), stat.st_mtime_ns, stat.st_size))
        return tuple(found)

    def _paths(self) -> list[Path]:
        """The policy of the configuration is also found in a folder, perhaps: then it is one."""
        of_folders = [path for folder in self._folders for path in sorted(folder.glob("*.yaml"))]
        own = [] if self._policy is None else [self._policy]
        known = {path.resolve() for path in own}
        return own + [path for path in of_folders if path.resolve() not in known]


async def prepare(rulesets: Iterable[Ruleset]) -> None:
    """Those that were never needed before, in a thread."""
    for one in rulesets:
        if not one.ready:
            await asyncio.to_thread(one.prepare)


class PolicyLibrary:
    """`start` loads and watches; `of` a call is asked by the moderator. `on_reload` hears whether one succeeded."""

    def __init__(self, places: PolicyPlaces, reload_s: float, on_reload: Callable[[bool], None]) -> None:
        self._places = places
        self._reload_s = reload_s
        self._on_reload = on_reload
        self._loaded = Loaded({}, None)
        self._stamp: Stamp = ()
        self._watching: asyncio.Task[None] | None = None

    def now(self) -> Loaded:
        return self._loaded

    def of_key(self, key: Key) -> list[Ruleset]:
        """The server's, that of the key's project and that of the key. Raises `ModerationUnavailable`, see `of`."""
        loaded = self._loaded
        found = [] if loaded.mandatory is None else [loaded.mandatory]
        for name, whose in ((key.project.policy, "project"), (key.policy, "key")):
            if name is not None:
                ruleset = loaded.rulesets.get(name)
                if ruleset is None:
                    raise ModerationUnavailable(
                        f"The policy of this {whose} is not loaded. Ask the operator.", retry_after=30
                    )
                found.append(ruleset)
        return list(dict.fromkeys(found)) if len(found) > 1 else found

    def of(self, call: Call) -> list[Ruleset]:
        """Those of the key and those that the request asks for; each once.

        Raises `InvalidValue` for a name in the request, `ModerationUnavailable` for another one that is not loaded.
        """
        loaded, found = self._loaded, self.of_key(call.key)
        for name in call.guards:
            ruleset = loaded.rulesets.get(name)
            if ruleset is None:
                there = ", ".join(loaded.rulesets) or "none"
                raise InvalidValue(f"This server has no policy of that name. Policies: {there}.", param="guardrails")
            found.append(ruleset)
        return list(dict.fromkeys(found)) if len(found) > 1 else found

    def by_model(self, model: str | None, applying: Sequence[Ruleset], param: str) -> Sequence[Ruleset]:
        """The policy of that name; for none, and for the names of OpenAI's models, those that apply anyhow.

        Raises `ModelNotFound`.
        """
        rulesets = self._loaded.rulesets
        there = ", ".join(rulesets) or "none"
        if model is not None and (named := rulesets.get(model)) is not None:
            return [named]
        if model is not None and not model.startswith(OPENAI_MODELS):
            raise ModelNotFound(f"This server has no policy of that name. Policies: {there}.", param=param)
        if applying:
            return applying
        raise ModelNotFound(
            f"No policy applies to this key. Name one in '{param}', or ask the operator to set moderation.policy in "
            f"the configuration or to give the key or its project a policy (--policy of portico keys and "
            f"projects). Policies: {there}.",
            param=param,
        )

    async def start(self) -> None:
        """Raises `ConfigError`."""
        await self._load()
        self._watching = asyncio.get_running_loop().create_task(self._watch(), name="watch policies")

    async def stop(self) -> None:
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.gather(self._watching, return_exceptions=True)

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(self._reload_s)
            try:
                await self.reload()
            except Exception:  # a bug must not end the watch
                log.exception("policies could not be looked at")

    async def reload(self) -> None:
        """Look at the files, and load them if there is a change."""
        if await asyncio.to_thread(self._places.stamp) == self._stamp:
            return
        try:
            await self._load()
        except ConfigError as error:
            log.error("policies stay as they were: %s", error)
            self._on_reload(False)
            return
        names = ", ".join(f"{one.policy.name} {one.policy.file.version}" for one in self._loaded.rulesets.values())
        log.warning("policies loaded anew: %s", names)
        self._on_reload(True)

    async def _load(self) -> None:
        """Raises `ConfigError`."""
        before = await asyncio.to_thread(self._places.stamp)
        try:
            self._loaded = await asyncio.to_thread(self._places.load)
        finally:
            # What changed meanwhile may have been read before it did: then it is read again the next time.
            after = await asyncio.to_thread(self._places.stamp)
            files = {file for file, _, _ in after}
            self._stamp = after if {one for one in before if one[0] in files} <= set(after) else ()
