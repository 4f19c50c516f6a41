"""The content filter's part of the composition: which policies there are, who judges for them, where decisions go."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

from server.audit import DecisionSink
from server.config import Config, policy_place, shipped
from server.durable import sealing_of
from server.engines.ask import EngineAsk
from server.engines.engine import EngineAddress
from server.moderation.build import build_matchers
from server.moderation.jury import NewSeat
from server.moderation.moderator import Moderator, text_key
from server.moderation.policies import PolicyLibrary, PolicyPlaces
from server.moderation.seats import Nowhere, Seats
from server.telemetry.metrics import Metrics
from server.telemetry.request_log import RequestLog
from server.watchdog import Watchdog


def judging_models(config: Config) -> dict[str, str]:
    """By engine, the model that a judge there is if its policy names none: the first that chats."""
    first: dict[str, str] = dict.fromkeys(config.engines, "")
    for name, model in config.models.items():
        for engine in model.engines if "chat" in model.serves else ():
            first[engine] = first[engine] or model.engine_model or name
    return first


def asking(config: Config, addresses: Mapping[str, EngineAddress], watchdog: Watchdog, name: str) -> EngineAsk:
    """Judges have connections of their own to engines."""
    address = addresses[name]
    return EngineAsk(config.engines[name], address.url, address.api_key, watchdog)


def check_policies(config: Config) -> None:
    """As a worker will load them. Raises `ConfigError`."""
    models = judging_models(config)
    for name, engine in config.engines.items():
        if engine.managed and not models[name]:
            models[name] = "planned"  # what it serves is known later
    policy_places(config, Seats(models, Nowhere, bytes(32)).seat).load()


def policy_places(config: Config, new_seat: NewSeat) -> PolicyPlaces:
    """Where policies are: that of every call, the operator's folder, and those that ship."""
    ours = shipped("config/policies")
    folders = [one for one in (config.moderation.folder, ours) if one is not None]
    place = policy_place(config.moderation.policy)
    seals = config.stores.encryption.key is not None
    return PolicyPlaces(place, folders, build_matchers, new_seat, known_good=(ours,), seals=seals)


@dataclass(frozen=True)
class Screening:
    library: PolicyLibrary
    moderator: Moderator
    background: tuple[PolicyLibrary, Moderator, Seats]  # in the order in which they are to stop


def screening(
    config: Config,
    addresses: Mapping[str, EngineAddress],
    watchdog: Watchdog,
    secret: bytes,
    metrics: Metrics,
    log: RequestLog,
) -> Screening:
    seats = Seats(judging_models(config), partial(asking, config, addresses, watchdog), text_key(secret))
    places = policy_places(config, seats.seat)
    library = PolicyLibrary(places, config.moderation.reload_s, metrics.moderation.reloaded)
    moderator = Moderator(
        library,
        text_key(secret),
        _sink(config, metrics, log),
        metrics.moderation,
        everything=config.moderation.audit == "all",
    )
    return Screening(library, moderator, (library, moderator, seats))


def _sink(config: Config, metrics: Metrics, log: RequestLog) -> DecisionSink:
    seals = sealing_of(config.stores.encryption) if config.stores.encryption.key is not None else None
    return DecisionSink(metrics, log, seals, kept=config.moderation.audit != "none")
