"""Reads the configuration: one frozen tree from a YAML file and the environment.

Every key can also be given as `PORTICO__SECTION__KEY` (YAML syntax, so `PORTICO__SERVER__PORT=9000` is a number), or
as `PORTICO__SECTION__KEY_FILE`, the path of a file that holds the value: how containers are given secrets. The
environment wins over the file. `load` raises `ConfigError`, whose text is one line that names the source, the key and
the reason.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, cast

import yaml
from pydantic import ValidationError
from yaml.composer import ComposerError

from server.config.places import shipped
from server.config.tree import Config, StaticKey

ENV_PREFIX = "PORTICO__"
FILE_SUFFIX = "_FILE"
API_KEY = "PORTICO_API_KEY"
ENVIRONMENT = "environment"  # name of the key that PORTICO_API_KEY gives
LONGEST_SECRET = 65_536  # bytes; who points at something longer has the wrong file


class ConfigError(Exception):
    """The configuration cannot be used; the text is one line for a person."""


def load(
    path: Path | None, environ: Mapping[str, str] = os.environ, overrides: Mapping[str, Any] | None = None
) -> Config:
    """Read `path` (or $PORTICO_CONFIG, or the shipped config/portico.yaml), the environment, then `overrides`.

    `overrides` are dotted keys from the command line, such as `{"server.port": 9000}`. Raises `ConfigError`.
    """
    chosen = path or (
        Path(environ["PORTICO_CONFIG"]) if environ.get("PORTICO_CONFIG") else shipped("config/portico.yaml")
    )
    data = read_bytes(chosen)
    tree = tree_of(data, str(chosen))
    sources: dict[str, str] = {}
    for name, value in _variables(environ):
        keys = name.removeprefix(ENV_PREFIX).removesuffix(FILE_SUFFIX).lower().split("__")
        _put(tree, keys, value, name)
        if keys[0] == "engines" and keys[-1] == "url" and len(keys) == 3:
            _put(tree, [*keys[:2], "managed"], None, name)  # an engine elsewhere takes the place of a managed one
        sources[".".join(keys)] = f"environment {name}"
    for dotted, value in (overrides or {}).items():
        _put(tree, dotted.split("."), value, dotted)
        sources[dotted] = "command line"
    try:
        config = Config.model_validate(tree)
    except ValidationError as error:
        raise ConfigError(first_problem(error, sources, f"{chosen}{_line(data, error)}")) from None
    return _with_environment_key(config, environment_key(environ))


def _variables(environ: Mapping[str, str]) -> Iterator[tuple[str, object]]:
    """The settings of the environment by the name of their variable. Raises `ConfigError`."""
    for name in sorted(environ):
        if not name.startswith(ENV_PREFIX):
            continue
        if name.endswith(FILE_SUFFIX):
            if environ[name]:
                yield name, _secret_in(name, environ)
        elif environ[name] or not environ.get(name + FILE_SUFFIX):
            yield name, _parse(environ[name], f"environment {name}")


def _secret_in(name: str, environ: Mapping[str, str]) -> str:
    """The text of the file that the variable `name` points at, without the white space at its ends.

    It is not read as YAML: a password may hold what means something there. Raises `ConfigError`.
    """
    path, source = environ[name], f"environment {name}"
    if environ.get(name.removesuffix(FILE_SUFFIX)):
        raise ConfigError(f"{source}: {name.removesuffix(FILE_SUFFIX)} is set too; give one of the two")
    try:
        with Path(path).open("rb") as file:
            data = file.read(LONGEST_SECRET + 1)
    except OSError as error:
        raise ConfigError(f"{source}: {path} cannot be read: {error.strerror}") from None
    if len(data) > LONGEST_SECRET:
        raise ConfigError(f"{source}: {path} is longer than {LONGEST_SECRET} bytes")
    try:
        text = data.decode().strip()
    except UnicodeDecodeError:
        raise ConfigError(f"{source}: {path} is not UTF-8 text") from None
    if not text:
        raise ConfigError(f"{source}: {path} is empty")
    return text


def read_bytes(path: Path) -> bytes:
    """Raises `ConfigError`."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from None


def tree_of(data: bytes, source: str) -> dict[str, Any]:
    """The mapping in a YAML file. Raises `ConfigError`."""
    try:
        text = data.decode()
    except UnicodeDecodeError:
        raise ConfigError(f"{source}: is not UTF-8 text") from None
    tree = _parse(text, source)
    if tree is None:
        return {}
    if not isinstance(tree, dict):
        raise ConfigError(f"{source}: must be a mapping of keys such as `server:`")
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


def _line(data: bytes, error: ValidationError) -> str:
    """`, line N` of the key that the first problem is about, or of the nearest above it; else empty."""
    node: yaml.Node | None = _Loader(data.decode()).get_single_node()
    line = 0
    for part in error.errors(include_url=False, include_input=False)[0]["loc"]:
        if isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
            key = node = node.value[part]
        elif isinstance(node, yaml.MappingNode) and (pairs := [pair for pair in node.value if pair[0].value == part]):
            key, node = pairs[0]
        else:
            break
        line = key.start_mark.line + 1
    return f", line {line}" if line else ""


def _put(tree: dict[str, Any], keys: list[str], value: object, source: str) -> None:
    for key in keys[:-1]:
        below = tree.setdefault(key, {})
        if below is None:
            below = tree[key] = {}
        if not isinstance(below, dict):
            raise ConfigError(f"{source}: {key} is not a section")
        tree = cast("dict[str, Any]", below)
    tree[keys[-1]] = value


def first_problem(error: ValidationError, sources: Mapping[str, str], file: str) -> str:
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


def environment_key(environ: Mapping[str, str] = os.environ) -> str:
    """The key that PORTICO_API_KEY holds, or the file that PORTICO_API_KEY_FILE names; "" for none.

    Raises `ConfigError`.
    """
    by_file = environ.get(API_KEY + FILE_SUFFIX)
    key = _secret_in(API_KEY + FILE_SUFFIX, environ) if by_file else environ.get(API_KEY, "").strip()
    if key and len(key) < 16:
        raise ConfigError(f"environment {API_KEY}{FILE_SUFFIX if by_file else ''}: must have at least 16 characters")
    return key


def _with_environment_key(config: Config, key: str) -> Config:
    if not key:
        return config
    static = StaticKey(name=ENVIRONMENT, key_sha256=hashlib.sha256(key.encode()).hexdigest())
    auth = config.auth.model_copy(update={"static_keys": (*config.auth.static_keys, static)})
    return config.model_copy(update={"auth": auth})
