"""What of a changed configuration takes effect, and what is left as it was."""

from __future__ import annotations

from typing import Any

import pytest

from server.config import Config, ConfigError, reloaded


def config(**sections: Any) -> Config:
    tree: dict[str, Any] = {
        "engines": {"one": {"url": "http://127.0.0.1:1/v1"}},
        "models": {"m": {"engines": ["one"]}},
    }
    return Config.model_validate(tree | sections)


def test_what_can_change_changes() -> None:
    new = config(
        engines={"two": {"url": "http://127.0.0.1:2/v1"}},
        models={"n": {"engines": ["two"]}},
        limits={"default": {"requests_per_minute": 3}},
        admission={"max_queue": 7},
        server={"max_body_bytes": 4096},
        logging={"requests": False},
    )
    assert reloaded(config(), new) == (new, [])


def test_what_cannot_change_is_named_and_left() -> None:
    old = config()
    new = config(
        server={"port": 9, "workers": 2, "max_body_bytes": 4096},
        metrics={"port": 10},
        stores={"volatile": "redis://127.0.0.1:6379/0"},
    )
    result, kept = reloaded(old, new)
    assert kept == ["server.port", "server.workers", "metrics", "stores"]
    assert (result.server.port, result.server.workers) == (old.server.port, old.server.workers)
    assert result.server.max_body_bytes == 4096
    assert (result.metrics, result.stores) == (old.metrics, old.stores)


def test_a_managed_engine_stays_as_it_was_started() -> None:
    old = config(engines={"local": {"managed": {"model": "demo"}}}, models={})
    new = config(
        engines={"local": {"managed": {"model": "openai/gpt-oss-20b"}}, "one": {"url": "http://127.0.0.1:1/v1"}},
        models={"m": {"engines": ["local", "one"]}},
    )
    result, kept = reloaded(old, new)
    assert kept == ["engines.local.managed"]
    assert result.engines["local"] == old.engines["local"]
    assert result.models == new.models


def test_one_more_managed_engine_is_refused() -> None:
    new = config(engines={"local": {"managed": {"model": "demo"}}}, models={})
    with pytest.raises(ConfigError, match=r"engines\.local\.managed"):
        reloaded(config(), new)
