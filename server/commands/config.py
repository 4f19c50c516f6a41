"""`portico config check|show|schema`."""

from __future__ import annotations

import argparse
import json
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from server.commands.startable import check_start
from server.config import Config, load

if TYPE_CHECKING:
    Subparsers = argparse._SubParsersAction[argparse.ArgumentParser]  # pyright: ignore[reportPrivateUsage]

HIDDEN = "(set)"
SECRETS = {"api_key", "token", "headers"}
SECRET_SECTIONS = {"encryption"}  # of which every value is one
PASSWORD = re.compile(r"^(\w+://[^/@]*:)\S*@")  # of a URL, whatever letters it has


def add_config_commands(commands: Subparsers) -> None:
    config = commands.add_parser("config", help="check, show or describe the configuration")
    actions = config.add_subparsers(title="actions", metavar="ACTION", required=True)
    for name, run, text in (
        ("check", _check, "say whether the configuration can be used"),
        ("show", _show, "print the effective configuration, secrets left out"),
    ):
        action = actions.add_parser(name, help=text)
        action.add_argument("--config", type=Path, metavar="FILE")
        action.set_defaults(run=run)
    schema = actions.add_parser("schema", help="print the JSON schema of the configuration")
    schema.set_defaults(run=_schema)


def _check(arguments: argparse.Namespace) -> int:
    check_start(load(arguments.config))
    print("The configuration is good.", file=sys.stderr)
    return 0


def _show(arguments: argparse.Namespace) -> int:
    tree = without_secrets(load(arguments.config).model_dump(mode="json"))
    yaml.safe_dump(tree, sys.stdout, sort_keys=False, allow_unicode=True)
    return 0


def _schema(_: argparse.Namespace) -> int:
    print(json.dumps(Config.model_json_schema(), indent=2))
    return 0


def without_secrets(tree: Any) -> Any:
    """`tree` as it may be shown."""
    if isinstance(tree, dict):
        return {key: _shown(key, value) for key, value in tree.items()}  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
    if isinstance(tree, list):
        return [without_secrets(value) for value in tree]  # pyright: ignore[reportUnknownVariableType]
    return PASSWORD.sub(rf"\1{HIDDEN}@", tree) if isinstance(tree, str) else tree


def _shown(key: str, value: Any) -> Any:
    if key in SECRET_SECTIONS:
        return {name: HIDDEN if secret else secret for name, secret in value.items()}
    return HIDDEN if key in SECRETS and value else without_secrets(value)
