"""What of a changed configuration takes effect while Portico runs. Pure."""

from __future__ import annotations

from server.config.load import ConfigError
from server.config.tree import Config

FIXED = ("server.host", "server.port", "server.workers", "metrics", "stores")
"""What the parent process holds for as long as it runs: listeners, the number of workers, the database, the spool."""


def reloaded(old: Config, new: Config) -> tuple[Config, list[str]]:
    """`new` with what cannot change as it is in `old`, and the keys that thus did not change.

    Raises `ConfigError` for a managed engine that is not there yet: nothing can stand in for it.
    """
    kept: list[str] = []
    for dotted in FIXED:
        section, _, key = dotted.partition(".")
        before, after = getattr(old, section), getattr(new, section)
        if not key:
            changed, value = before != after, before
        else:
            changed = getattr(before, key) != getattr(after, key)
            value = after.model_copy(update={key: getattr(before, key)})
        if changed:
            kept.append(dotted)
            new = new.model_copy(update={section: value})
    engines = dict(new.engines)
    for name, engine in old.engines.items():
        after = engines.get(name)
        if engine.managed is not None and (after is None or after.managed != engine.managed):
            kept.append(f"engines.{name}.managed")
            engines[name] = engine
    for name, engine in engines.items():
        before = old.engines.get(name)
        if engine.managed is not None and (before is None or before.managed is None):
            raise ConfigError(f"engines.{name}.managed: a managed engine is started with Portico; restart it")
    return new.model_copy(update={"engines": engines}), kept
