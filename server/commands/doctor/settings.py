"""What of the configuration is risky though it is valid: keys, open listeners, certificates. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

from server.commands.doctor.verdict import Verdict, fail, ok, warn
from server.commands.startable import no_key
from server.config import Config, is_loopback
from server.telemetry.certificate import first_expiry

DAY_S = 86_400
SOON_DAYS = 14  # as PorticoCertificateExpires


def judge_keys(config: Config, in_database: bool | None, development_hash: str | None) -> Iterator[Verdict]:
    """`in_database`: whether it has a key, None where it could not be asked.

    `development_hash`: of the key that a first start made on this machine.
    """
    keys = config.auth.static_keys
    if config.auth.mode == "none":
        yield warn(
            "keys",
            "auth.mode: none, so whoever can run a program on this machine may call",
            "set auth.mode: keys for more than trying it",
        )
        return
    for key in keys:
        if key.key_sha256 == development_hash:
            yield warn(
                "keys",
                f"auth.static_keys: {key.name} is the development key of this machine",
                "make one for each user: portico keys create NAME",
            )
    if keys or in_database:
        places = (f"{len(keys)} in the configuration" if keys else "", "some in the database" if in_database else "")
        yield ok("keys", f"keys: {', '.join(place for place in places if place)}")
    elif in_database is None:
        yield warn(
            "keys", "no key is configured, and the database cannot be asked for its own", "mend the database, see above"
        )
    elif is_loopback(config.server.host):
        yield warn(
            "keys",
            f"only the development key opens it, which {'the first start makes' if development_hash is None else 'is'} "
            "in $PORTICO_HOME",
            "make one for each user: portico keys create NAME",
        )
    else:
        yield fail("keys", no_key(config.server.host))


def judge_exposure(config: Config) -> Iterator[Verdict]:
    metrics = config.metrics
    if metrics.token:
        yield ok("metrics", f"the metrics on {metrics.host} ask for metrics.token")
    elif is_loopback(metrics.host):
        yield ok("metrics", "the metrics are open to this machine only")
    else:
        yield warn(
            "metrics",
            f"the metrics on {metrics.host} are open to whoever reaches that address",
            "set metrics.token, or let the network keep all but the scraper out",
        )


def judge_certificate(chain: str, now: float) -> Verdict:
    """`chain`: what `server.tls.cert` holds, in PEM; `now` in Unix seconds."""
    try:
        expiry = first_expiry(chain)
    except ValueError as error:
        return fail("certificate", f"server.tls.cert: {error}", "give a certificate chain in PEM")
    day = f"{datetime.fromtimestamp(expiry, UTC):%Y-%m-%d}"
    left = (expiry - now) / DAY_S
    if left <= 0:
        return fail("certificate", f"server.tls.cert expired on {day}", "put a new one there and reload")
    if left < SOON_DAYS:
        return warn("certificate", f"server.tls.cert expires on {day}", "put a new one there and reload")
    return ok("certificate", f"server.tls.cert is good until {day} ({left:.0f} days)")
