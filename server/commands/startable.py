"""Whether a valid configuration can be served at all: what `serve`, `config check` and `doctor` look at alike."""

from __future__ import annotations

import asyncio
import ssl

from server.config import Config, ConfigError, Tls, home, is_loopback
from server.policies import check_policies
from server.stores.base import StoreError
from server.stores.sql.place import place_of
from server.stores.sql.store import connect_durable


def check_start(config: Config) -> None:
    """Raises `ConfigError`."""
    if not is_loopback(config.server.host) and needs_development_key(config):
        raise ConfigError(no_key(config.server.host))
    check_tls(config.server.tls)
    check_policies(config)


def no_key(host: str) -> str:
    """What is wrong where nobody has a key and others could call."""
    return (
        f"auth.static_keys: {host} can be reached by others and no key is configured. "
        "Make one (portico keys create), or set PORTICO_API_KEY to a key of your own, for example: "
        "export PORTICO_API_KEY=sk-$(openssl rand -hex 24)"
    )


def needs_development_key(config: Config) -> bool:
    """Nobody has a key: there is none in the configuration, and none in the database as far as it can be asked now."""
    return config.auth.mode == "keys" and not config.auth.static_keys and not asyncio.run(_keys_in_database(config))


async def _keys_in_database(config: Config) -> bool:
    try:
        file = place_of(config.stores.durable, home()).file
        if file is not None and not file.exists():
            return False
        store = await connect_durable(config.stores.durable, home())
    except StoreError:  # whoever starts will say what is wrong with it
        return False
    try:
        return bool(await store.keys(limit=1, revoked=False))
    except StoreError:
        return False
    finally:
        await store.close()


def check_tls(tls: Tls) -> None:
    """Raises `ConfigError` where certificate and key cannot be used."""
    if tls.cert is None or tls.key is None:
        return
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(tls.cert, tls.key)
    except ssl.SSLError as error:
        reason = (error.reason or "cannot be read").lower().replace("_", " ")
        raise ConfigError(
            f"server.tls.cert, server.tls.key: {tls.cert} and {tls.key} are not a certificate chain and its key in PEM "
            f"({reason})"
        ) from None
    except OSError as error:
        raise ConfigError(f"server.tls: {error.filename or tls.key}: {error.strerror}") from None
