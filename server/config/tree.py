"""The tree of the configuration: every key with its type, its default and what it means."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from server.config.engine import Engine, Managed
from server.config.files import Batches, Files
from server.config.model import Limit, Model, first_unserved
from server.config.places import is_loopback, policy_place
from server.config.section import (
    Name,
    PriorityClass,
    SealingKey,
    Seconds,
    Section,
    Sha256,
    words,
)
from server.config.tools import Tools
from server.config.tracing import Tracing


class Tls(Section):
    cert: Path | None = Field(
        default=None, description="Certificate chain in PEM; with `key`, the public port speaks TLS."
    )
    key: Path | None = Field(default=None, description="Private key in PEM.")

    @model_validator(mode="after")
    def _both(self) -> Self:
        if (self.cert is None) != (self.key is None):
            raise ValueError("cert and key are needed together")
        for path in (self.cert, self.key):
            if path is not None and not path.is_file():
                raise ValueError(f"no such file: {path}")
        return self


class Server(Section):
    host: str = Field(default="127.0.0.1", description="Address to listen on.")
    port: int = Field(default=8000, ge=0, le=65535, description="Port to listen on; 0 takes a free one.")
    workers: int = Field(default=1, ge=1, le=256, description="Gateway processes that share the port.")
    max_body_bytes: int = Field(
        default=10_485_760, ge=1024, description="Largest request body; more is refused with 413."
    )
    max_header_bytes: int = Field(
        default=65_536, ge=1024, description="Largest request head; more is refused with 431."
    )
    max_json_depth: int = Field(default=64, ge=4, le=500, description="Deepest nesting of a request body.")
    shutdown_grace_s: float = Field(default=30, ge=0, description="How long open calls may go on after SIGTERM.")
    reload_grace_s: float = Field(
        default=600, ge=0, description="How long calls of before a reload may go on with the old configuration."
    )
    first_event_grace_s: Seconds = Field(
        default=5,
        description="An engine silent for longer commits a stream to status 200 and sends keep-alive comments.",
    )
    client_timeout_s: Seconds = Field(
        default=60, description="Longest silence of a client in mid-request, or of one that does not read its answer."
    )
    idle_timeout_s: Seconds = Field(default=75, description="How long an unused keep-alive connection stays open.")
    tls: Tls = Field(default_factory=Tls, description="TLS of the public port.")
    cors_origins: tuple[str, ...] = Field(default=(), description="Browser origins that may call the API; `*` for all.")


class Metrics(Section):
    host: str = Field(default="127.0.0.1", description="Address of the metrics listener.")
    port: int = Field(default=9464, ge=0, le=65535, description="Its port, never the public one; 0 takes a free one.")
    token: str | None = Field(default=None, description="Bearer token that a scraper must send.", repr=False)
    projects: int = Field(
        default=100, ge=0, le=1000, description="Projects that have metrics of their own; all others count as `other`."
    )


class Retention(Section):
    """Whole days (UTC); null: for good."""

    usage_days: int | None = Field(
        default=None, ge=1, description="How long usage is kept; that of the present month always is."
    )
    audit_days: int | None = Field(default=None, ge=1, description="How long the audit log is kept.")
    decisions_days: int | None = Field(default=None, ge=1, description="How long the log of decisions is kept.")
    responses_days: int | None = Field(
        default=30,
        ge=1,
        description="How long stored responses are kept, and conversations to which nothing is added.",
    )
    projects: dict[Name, Annotated[int, Field(ge=1)] | None] = Field(
        default_factory=dict, description="`responses_days` of single projects, by their id."
    )


class Encryption(Section):
    """Of what users wrote and models answered, where it is stored."""

    key: SealingKey | None = Field(
        default=None,
        description="AES-256 key for stored responses and conversations, and for excerpts that policies keep: 32 bytes "
        "in Base64, as `openssl rand -base64 32` makes them. null: no excerpts, and the others as they are.",
        repr=False,
    )
    old_keys: Annotated[tuple[SealingKey, ...], BeforeValidator(words)] = Field(
        default=(),
        description="Former keys, which still open what they encrypted; a text of several is split at white space.",
        repr=False,
    )

    @model_validator(mode="after")
    def _sealed_by_one(self) -> Self:
        if self.old_keys and self.key is None:
            raise ValueError("old_keys: needs a key, by which new text is encrypted")
        return self


class Stores(Section):
    durable: str = Field(
        default="sqlite:///var/portico.db",
        pattern=r"^(sqlite:///|postgresql://)\S+$",
        description="Database of projects, keys, usage, the audit log, responses and conversations: sqlite:///PATH (a "
        "relative one is below $PORTICO_HOME) or postgresql://USER:PASSWORD@HOST/NAME.",
        repr=False,
    )
    volatile: str = Field(
        default="memory://",
        pattern=r"^(memory://|rediss?://\S+)$",
        description="Counters of the limits: memory://, each worker its share, or redis://HOST:PORT/N (Valkey, Redis), "
        "shared by all workers and replicas.",
        repr=False,
    )
    spool: Path = Field(
        default=Path("var/spool"),
        description="Folder for usage that is not in the database yet; a relative one is below $PORTICO_HOME.",
    )
    retention: Retention = Field(default_factory=Retention, description="How long records are kept.")
    encryption: Encryption = Field(default_factory=Encryption, description="Encryption of stored text.")


class StaticKey(Section):
    name: Name = Field(description="Name of the key in logs.")
    key_sha256: Sha256 = Field(
        description="SHA-256 of the key in hexadecimal: `printf %s KEY | sha256sum`.", repr=False
    )
    project: Name = Field(default="default", description="Tenant that it belongs to.")
    priority: PriorityClass = Field(default="standard", description="Class of its calls in the queue.")
    limits: Limit | None = Field(default=None, description="Its limits, in place of `limits.default`.")


class Auth(Section):
    mode: Literal["keys", "none"] = Field(
        default="keys", description="`none` asks for no key and is for loopback only."
    )
    static_keys: tuple[StaticKey, ...] = Field(default=(), description="Keys known by their hash.")
    cache_size: int = Field(default=10_000, ge=16, description="Keys of the database that are kept in memory.")
    cache_s: Seconds = Field(default=30, description="For how long a key in memory is believed without a look.")
    stale_s: float = Field(
        default=3600, ge=0, description="For how much longer it is believed while the database cannot be reached."
    )


class Limits(Section):
    default: Limit = Field(default_factory=Limit, description="Limits of every key that has none of its own.")
    answer_tokens: int = Field(
        default=8192,
        ge=1,
        description="Longest answer to a call under a token limit that names no maximum itself, nor does its model.",
    )
    store_down: Literal["local", "closed"] = Field(
        default="local",
        description="Without its shared store, each worker enforces its share of a limit (`local`), or limited calls "
        "are refused (`closed`).",
    )
    replicas: int = Field(default=1, ge=1, description="Gateways that share the limits: what a share is a share of.")


class Admission(Section):
    max_queue: int = Field(
        default=1024, ge=0, description="Calls of a model that may wait for a busy engine; more get 429."
    )
    max_wait_s: Seconds = Field(default=30, description="Longest wait in the queue; then 503.")
    age_s: Seconds = Field(default=10, description="After so long in the queue a call counts as of the next class up.")
    reserve: float = Field(
        default=0.02,
        ge=0,
        le=0.5,
        description="Share of `max_in_flight`, rounded down, that is kept for projects with no call running.",
    )
    weights: dict[Name, Annotated[float, Field(gt=0, le=1000)]] = Field(
        default_factory=dict,
        description="Shares of busy engines by the id of a project; one that is not listed has its own weight, or 1.",
    )


class Moderation(Section):
    policy: Path | None = Field(default=None, description="Policy of every call: a file, or the name of one at hand.")
    folder: Path | None = Field(
        default=None, description="Folder of further policies (*.yaml), which keys and requests can name."
    )
    reload_s: Seconds = Field(default=5, description="How often the files are looked at for changes.")
    audit: Literal["decisions", "all", "none"] = Field(
        default="decisions",
        description="What is kept in the log of decisions: requests and answers in which something was found, `all` "
        "that were looked at, or `none`.",
    )

    @model_validator(mode="after")
    def _there(self) -> Self:
        if isinstance(place := policy_place(self.policy), Path) and not place.is_file():
            raise ValueError(f"policy: no such file: {self.policy}")
        if self.folder is not None and not self.folder.is_dir():
            raise ValueError(f"folder: no such folder: {self.folder}")
        return self


class Logging(Section):
    format: Literal["auto", "json", "text"] = Field(
        default="auto", description="`auto`: text on a terminal, else JSON lines."
    )
    requests: bool = Field(default=True, description="One line per request, without bodies or keys.")
    sample_successes: float = Field(
        default=1.0, ge=0, le=1, description="Share of good requests that have a line; failures always have one."
    )


class Config(Section):
    server: Server = Field(default_factory=Server, description="The public listener.")
    metrics: Metrics = Field(default_factory=Metrics, description="The Prometheus listener.")
    stores: Stores = Field(default_factory=Stores, description="Where state is kept.")
    auth: Auth = Field(default_factory=Auth, description="Who may call.")
    engines: dict[Name, Engine] = Field(
        default_factory=lambda: {"local": Engine(managed=Managed())}, description="Where answers come from, by name."
    )
    models: dict[Name, Model] = Field(
        default_factory=dict, description="What clients may ask for; empty takes the model of the managed engine."
    )
    limits: Limits = Field(default_factory=Limits, description="Limits of use.")
    admission: Admission = Field(default_factory=Admission, description="The queue in front of the engines.")
    moderation: Moderation = Field(default_factory=Moderation, description="The content filter.")
    files: Files = Field(default_factory=Files, description="Files of projects.")
    batches: Batches = Field(default_factory=Batches, description="Batches of requests.")
    logging: Logging = Field(default_factory=Logging, description="Logs on standard output.")
    tracing: Tracing = Field(default_factory=Tracing, description="OpenTelemetry traces.")
    tools: Tools = Field(default_factory=Tools, description="Tools that run beside the gateway, for `/v1/responses`.")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.auth.mode == "none" and not is_loopback(self.server.host):
            raise ValueError("auth.mode: none is allowed on a loopback server.host only; use mode: keys")
        if self.metrics.port and self.metrics.port == self.server.port:
            raise ValueError("metrics.port: must not be server.port")
        if not self.engines:
            raise ValueError("engines: at least one is needed")
        managed = [name for name, engine in self.engines.items() if engine.managed]
        if len(managed) > 1:
            raise ValueError(f"engines: only one can be managed here, not {', '.join(managed)}")
        if not self.models and not managed:
            raise ValueError(
                "models: name at least one model for engines given by url, "
                f"for example PORTICO__MODELS='{{gpt-oss-20b: {{engines: [{next(iter(self.engines))}]}}}}'"
            )
        self._check_models()
        return self

    def _check_models(self) -> None:
        taken: dict[str, str] = {}
        for name, model in self.models.items():
            for engine in model.engines:
                if engine not in self.engines:
                    raise ValueError(f"models.{name}.engines: no engine is called {engine}")
                make = self.engines[engine].make
                if unserved := first_unserved(model.serves, make):
                    raise ValueError(f"models.{name}.serves: engine {engine} ({make}) does not serve {unserved}")
            for public in (name, *model.aliases):
                if public in taken:
                    raise ValueError(f"models.{name}: the name {public} already belongs to {taken[public]}")
                taken[public] = name
            self._check_fallback(name)

    def _check_fallback(self, name: str) -> None:
        if self.models[name].fallback is not None and "embeddings" in self.models[name].serves:
            raise ValueError(f"models.{name}.fallback: not with embeddings, as vectors of two models do not compare")
        seen = [name]
        while (following := self.models[seen[-1]].fallback) is not None:
            if following not in self.models:
                raise ValueError(f"models.{seen[-1]}.fallback: no model is called {following}")
            if following in seen:
                raise ValueError(f"models.{name}.fallback: leads back to {following}")
            if missing := set(self.models[name].serves) - set(self.models[following].serves):
                raise ValueError(f"models.{name}.fallback: {following} does not serve {', '.join(sorted(missing))}")
            seen.append(following)
