"""Whether a valid configuration can be served at all: what `serve`, `config check` and `doctor` look at alike."""

from __future__ import annotations

import ssl

from server.config import Config, ConfigError, Tls, is_loopback


def check_start(config: Config) -> None:
    """Raises `ConfigError`."""
    if needs_development_key(config) and not is_loopback(config.server.host):
        raise ConfigError(
            f"auth.static_keys: {config.server.host} can be reached by others and no key is configured. "
            "Set PORTICO_API_KEY to a key of your own, for example: export PORTICO_API_KEY=sk-$(openssl rand -hex 24)"
        )
    _check_tls(config.server.tls)


def needs_development_key(config: Config) -> bool:
    return config.auth.mode == "keys" and not config.auth.static_keys


def _check_tls(tls: Tls) -> None:
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
