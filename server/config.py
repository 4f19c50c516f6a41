"""The configuration: one frozen tree read from a YAML file and the environment.

Every key can also be given as `PORTICO__SECTION__KEY` (YAML syntax, so `PORTICO__SERVER__PORT=9000` is a number).
The environment wins over the file. `load` raises `ConfigError`, whose text is one line that names the source,
the key and the reason.
"""

from __future__ import annotations

import hashlib
import ipaddress
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self, cast
from urllib.parse import urlsplit

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator
from yaml.composer import ComposerError

ENV_PREFIX = "PORTICO__"
ENVIRONMENT = "environment"  # name of the key that PORTICO_API_KEY gives

Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:/-]{0,127}$")]
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Seconds = Annotated[float, Field(gt=0)]
Effort = Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"]


class ConfigError(Exception):
    """The configuration cannot be used; the text is one line for a person."""


def _with_a_host(url: str) -> str:
    """Raises ValueError, without the text of the URL, where it could not be connected to whatever runs there."""
    try:
        parts = urlsplit(url)
        good = bool(parts.hostname) and parts.port != 0
    except ValueError:
        good = False
    if not good:
        raise ValueError("is not a URL with a host and, if any, a port from 1 to 65535")
    return url


Url = Annotated[  # no user:password; see api_key
    str, StringConstraints(pattern=r"^https?://[^\s/?#@]+(/[^\s?#]*)?$"), AfterValidator(_with_a_host)
]


class Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=(), allow_inf_nan=False)


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


class Stores(Section):
    durable: str = Field(default="sqlite:///var/portico.db", description="Reserved for keys, usage and state.")
    volatile: str = Field(default="memory://", description="Reserved for shared limits.")


class StaticKey(Section):
    name: Name = Field(description="Name of the key in logs.")
    key_sha256: Sha256 = Field(
        description="SHA-256 of the key in hexadecimal: `printf %s KEY | sha256sum`.", repr=False
    )


class Auth(Section):
    mode: Literal["keys", "none"] = Field(
        default="keys", description="`none` asks for no key and is for loopback only."
    )
    static_keys: tuple[StaticKey, ...] = Field(default=(), description="Keys known by their hash.")


class Timeouts(Section):
    connect_s: Seconds = Field(default=5, description="Opening a connection to the engine.")
    first_byte_s: Seconds = Field(default=600, description="From the request to the first byte of the answer.")
    between_bytes_s: Seconds = Field(default=120, description="Silence within a streamed answer.")
    total_s: Seconds = Field(default=3600, description="The whole call.")


class Managed(Section):
    model: str = Field(
        default="auto", description="`auto`, `demo`, a preset of config/models, or the path of a model folder."
    )
    device: Literal["auto", "cpu", "cuda"] = Field(default="auto", description="Where the engine runs.")
    args: tuple[str, ...] = Field(default=(), description="Further arguments for vLLM, after those of the preset.")
    port: int = Field(default=8100, ge=0, le=65535, description="Loopback port of the engine; 0 takes a free one.")
    lora_adapters: dict[Name, Path] = Field(
        default_factory=dict, description="LoRA adapters by name; a model whose `engine_model` is that name uses it."
    )


class Engine(Section):
    url: Url | None = Field(default=None, description="Base URL of an OpenAI-compatible engine, with its /v1.")
    managed: Managed | None = Field(default=None, description="A vLLM that Portico installs, starts and watches.")
    api_key: str | None = Field(default=None, description="Key that the engine asks for.", repr=False)
    max_in_flight: int = Field(
        default=64, ge=1, description="Calls that the engine gets at once; more wait in the gateway."
    )
    health_path: str | None = Field(
        default=None,
        pattern="^/",
        description="Path probed on the engine's host; default /health if managed, else URL/models.",
    )
    timeouts: Timeouts = Field(default_factory=Timeouts, description="Longest waits on the engine.")

    @model_validator(mode="after")
    def _one_of(self) -> Self:
        if (self.url is None) == (self.managed is None):
            raise ValueError("exactly one of url and managed is needed")
        return self


class Defaults(Section):
    temperature: float | None = Field(default=None, ge=0, le=2, description="Used where the request names none.")
    top_p: float | None = Field(default=None, gt=0, le=1, description="Used where the request names none.")
    max_tokens: int | None = Field(default=None, ge=1, description="Bound of the answer where the request names none.")
    reasoning_effort: Effort | None = Field(default=None, description="Used where the request names none.")


ExtraField = Literal[
    "top_k", "min_p", "repetition_penalty", "min_tokens", "length_penalty", "include_stop_str_in_output"
]


class Model(Section):
    engines: tuple[str, ...] = Field(min_length=1, description="Engines that serve it; several form a fleet.")
    engine_model: str | None = Field(default=None, description="What the engine calls it, where that differs.")
    aliases: tuple[Name, ...] = Field(default=(), description="Further names that clients may use.")
    context_length: int = Field(default=131_072, ge=16, description="Longest prompt and answer together, in tokens.")
    description: str | None = Field(default=None, description="Shown by /v1/models.")
    developer_prompt: str | None = Field(default=None, description="A developer message put in front of every chat.")
    defaults: Defaults = Field(default_factory=Defaults, description="Values for fields that a request leaves out.")
    reasoning: Literal["shown", "hidden"] = Field(
        default="shown", description="Whether clients get the chain of thought."
    )
    extra_fields: tuple[ExtraField, ...] = Field(
        default=(), description="Sampling fields of vLLM that clients may use."
    )
    raw_special_tokens: bool = Field(
        default=False, description="Whether /v1/completions prompts may hold control tokens such as <|start|>."
    )


class Limit(Section):
    requests_per_minute: int | None = Field(default=None, ge=1, description="Reserved.")
    tokens_per_minute: int | None = Field(default=None, ge=1, description="Reserved.")
    concurrent_requests: int | None = Field(default=None, ge=1, description="Reserved.")


class Limits(Section):
    default: Limit = Field(default_factory=Limit, description="Reserved for the limits of every key.")


class Admission(Section):
    max_queue: int = Field(default=1024, ge=0, description="Calls that may wait for a busy engine; more get 429.")
    max_wait_s: Seconds = Field(default=30, description="Longest wait in the queue; then 503.")


class Moderation(Section):
    policy: Path | None = Field(default=None, description="Reserved for the path of a policy file.")


class Logging(Section):
    format: Literal["auto", "json", "text"] = Field(
        default="auto", description="`auto`: text on a terminal, else JSON lines."
    )
    requests: bool = Field(default=True, description="One line per request, without bodies or keys.")


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
    logging: Logging = Field(default_factory=Logging, description="Logs on standard output.")

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
            for public in (name, *model.aliases):
                if public in taken:
                    raise ValueError(f"models.{name}: the name {public} already belongs to {taken[public]}")
                taken[public] = name


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach a listener on `host`."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def home(environ: Mapping[str, str] = os.environ) -> Path:
    """$PORTICO_HOME: engine environments, the expanded demo model, the development key, logs."""
    chosen = Path(environ.get("PORTICO_HOME") or Path.home() / ".local/share/portico").expanduser()
    return chosen.absolute()  # the engine is started in another folder


def shipped(part: str) -> Path:
    """A file or folder that ships with Portico: `config/...` or `requirements/...`, in a checkout or in a wheel."""
    packaged = Path(__file__).parent / "shipped" / part
    return packaged if packaged.exists() else Path(__file__).parent.parent / part


def load(
    path: Path | None, environ: Mapping[str, str] = os.environ, overrides: Mapping[str, Any] | None = None
) -> Config:
    """Read `path` (or $PORTICO_CONFIG, or the shipped config/portico.yaml), the environment, then `overrides`.

    `overrides` are dotted keys from the command line, such as `{"server.port": 9000}`. Raises `ConfigError`.
    """
    chosen = path or (
        Path(environ["PORTICO_CONFIG"]) if environ.get("PORTICO_CONFIG") else shipped("config/portico.yaml")
    )
    tree = _read(chosen)
    sources: dict[str, str] = {}
    for name in sorted(environ):
        if name.startswith(ENV_PREFIX):
            keys = name.removeprefix(ENV_PREFIX).lower().split("__")
            _put(tree, keys, _parse(environ[name], f"environment {name}"), name)
            if keys[0] == "engines" and keys[-1] == "url" and len(keys) == 3:
                _put(tree, [*keys[:2], "managed"], None, name)  # an engine elsewhere takes the place of a managed one
            sources[".".join(keys)] = f"environment {name}"
    for dotted, value in (overrides or {}).items():
        _put(tree, dotted.split("."), value, dotted)
        sources[dotted] = "command line"
    try:
        config = Config.model_validate(tree)
    except ValidationError as error:
        raise ConfigError(_one_line(error, sources, str(chosen))) from None
    return _with_environment_key(config, environ.get("PORTICO_API_KEY", "").strip())  # as the key of a request is


def _read(path: Path) -> dict[str, Any]:
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path}: is not UTF-8 text") from None
    tree = _parse(text, str(path))
    if tree is None:
        return {}
    if not isinstance(tree, dict):
        raise ConfigError(f"{path}: must be a mapping of sections such as `server:`")
    return cast("dict[str, Any]", tree)


class _Loader(yaml.SafeLoader):
    """YAML in which a key that comes twice is an error: else the last wins, and what stood under the first is lost."""

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        node = super().compose_mapping_node(anchor)
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                if key.value in seen:
                    raise ComposerError(None, None, f"{key.value} comes twice", key.start_mark)
                seen.add(key.value)
        return node


def _parse(text: str, source: str) -> object:
    try:
        return _Loader(text).get_single_data()
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}" if mark and text.count("\n") else ""
        raise ConfigError(
            f"{source}{where}: is not YAML: {getattr(error, 'problem', None) or 'cannot be parsed'}"
        ) from None
    except (ValueError, LookupError, AttributeError, RecursionError):  # such as 2026-13-01, which looks like a date
        raise ConfigError(f"{source}: is not YAML: a value cannot be parsed") from None


def _put(tree: dict[str, Any], keys: list[str], value: object, source: str) -> None:
    for key in keys[:-1]:
        below = tree.setdefault(key, {})
        if below is None:
            below = tree[key] = {}
        if not isinstance(below, dict):
            raise ConfigError(f"{source}: {key} is not a section")
        tree = cast("dict[str, Any]", below)
    tree[keys[-1]] = value


def _one_line(error: ValidationError, sources: Mapping[str, str], file: str) -> str:
    """The first problem as `source: key: reason`, and how many more. Values are never shown: they may be secrets."""
    problems = error.errors(include_url=False, include_input=False)
    key = ".".join(str(part) for part in problems[0]["loc"])
    source = next((text for dotted, text in sources.items() if _related(key, dotted)), file)
    reason = problems[0]["msg"].removeprefix("Value error, ")
    if problems[0]["type"] == "extra_forbidden":
        reason = "is not a known key; `portico config schema` lists them all"
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    return f"{source}: {key + ': ' if key else ''}{reason}{more}"


def _related(key: str, dotted: str) -> bool:
    """Whether a problem at `key` can come from the setting `dotted`: one is the other or holds it."""
    return key == dotted or key.startswith(dotted + ".") or dotted.startswith(key + ".")


def _with_environment_key(config: Config, key: str) -> Config:
    if not key:
        return config
    if len(key) < 16:
        raise ConfigError("environment PORTICO_API_KEY: must have at least 16 characters")
    static = StaticKey(name=ENVIRONMENT, key_sha256=hashlib.sha256(key.encode()).hexdigest())
    auth = config.auth.model_copy(update={"static_keys": (*config.auth.static_keys, static)})
    return config.model_copy(update={"auth": auth})
