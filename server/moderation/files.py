"""Reads policy files. All that can be wrong with one is one line, which names the file, the key and the reason."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from pydantic import ValidationError

from server.config import ConfigError, first_problem, read_bytes, tree_of
from server.moderation.policy import Policy, PolicyFile, files_of

LARGEST_BYTES = 32 * 1024 * 1024


def load_policy(path: Path, named: Callable[[list[Path]], None] = lambda files: None) -> Policy:
    """`path` and the files it names, which are looked for beside it. Raises `ConfigError`.

    `named` hears of those files before they are read, so also where one of them cannot be.
    """
    own = _read(path)
    try:
        file = PolicyFile.model_validate(tree_of(own, str(path)))
    except ValidationError as error:
        raise ConfigError(first_problem(error, {}, str(path))) from None
    named([path.parent / name for name in files_of(file)])
    content = {name: _text(path.parent / name) for name in files_of(file)}
    return Policy(file, own, content)


def _read(path: Path) -> bytes:
    data = read_bytes(path)
    if len(data) > LARGEST_BYTES:
        raise ConfigError(f"{path}: is larger than {LARGEST_BYTES >> 20} MB")
    return data


def _text(path: Path) -> bytes:
    data = _read(path)
    try:
        data.decode()
    except UnicodeDecodeError:
        raise ConfigError(f"{path}: is not UTF-8 text") from None
    return data
