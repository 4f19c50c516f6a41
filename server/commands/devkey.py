"""The development key: made on the first start on loopback, kept for the next, known to the server by its hash."""

from __future__ import annotations

import fcntl
import hashlib
import os
import secrets
from pathlib import Path

from server.commands.startable import check_start, needs_development_key
from server.config import Config, ConfigError, StaticKey

PREFIX = "sk-portico-dev-"
FILE = "dev-key"  # below $PORTICO_HOME


def with_development_key(config: Config, home: Path) -> tuple[Config, str | None]:
    """The configuration with a key to call it by, and that key if it is the development key.

    Raises `ConfigError` where the configuration cannot be served, as where others could reach a server without a key.
    """
    check_start(config)
    if not needs_development_key(config):
        return config, None
    key = _kept(home / FILE)
    static = StaticKey(name="development", key_sha256=hashlib.sha256(key.encode()).hexdigest())
    auth = config.auth.model_copy(update={"static_keys": (static,)})
    return config.model_copy(update={"auth": auth}), key


def development_key_hash(home: Path) -> str | None:
    """SHA-256 of the development key that was made here; None where there is none, or it cannot be read."""
    try:
        key = _key_in((home / FILE).read_bytes())
    except OSError:
        return None
    return hashlib.sha256(key.encode()).hexdigest() if key else None


def _kept(path: Path) -> str:
    try:
        key = _key_in(path.read_bytes())
    except FileNotFoundError:
        key = None
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from None
    return key or _made(path)


def _made(path: Path) -> str:
    """A new key in `path`, or the one that another start has written there meanwhile."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o600), "r+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            key = _key_in(file.read())
            if key is None:
                key = PREFIX + secrets.token_urlsafe(24)
                file.seek(0)
                file.truncate()
                file.write(key.encode() + b"\n")
    except OSError as error:
        raise ConfigError(
            f"{path}: cannot be written: {error.strerror}; set PORTICO_HOME to a folder of yours"
        ) from None
    return key


def _key_in(content: bytes) -> str | None:
    text = content.decode("ascii", errors="replace").strip()
    return text if text.startswith(PREFIX) else None
