"""The development key: made on the first start on loopback, kept for the next, known to the server by its hash."""

from __future__ import annotations

import hashlib
import os
import secrets
from pathlib import Path

from server.commands.startable import check_start, needs_development_key
from server.config import Config, ConfigError, StaticKey

PREFIX = "sk-portico-dev-"


def with_development_key(config: Config, home: Path) -> tuple[Config, str | None]:
    """The configuration with a key to call it by, and that key if it is the development key.

    Raises `ConfigError` where the configuration cannot be served, as where others could reach a server without a key.
    """
    check_start(config)
    if not needs_development_key(config):
        return config, None
    key = _kept(home / "dev-key")
    static = StaticKey(name="development", key_sha256=hashlib.sha256(key.encode()).hexdigest())
    auth = config.auth.model_copy(update={"static_keys": (static,)})
    return config.model_copy(update={"auth": auth}), key


def _kept(path: Path) -> str:
    try:
        key = path.read_text(encoding="ascii").strip()
        if key.startswith(PREFIX):
            return key
    except (FileNotFoundError, UnicodeDecodeError):
        pass  # made below, or made anew
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from None
    key = PREFIX + secrets.token_urlsafe(24)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(key + "\n")
    except OSError as error:
        raise ConfigError(
            f"{path}: cannot be written: {error.strerror}; set PORTICO_HOME to a folder of yours"
        ) from None
    return key
