"""What the tests of deployment share: the compose file as Compose reads it, and the gateway's configuration in it."""

from __future__ import annotations

import re
import runpy
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from server import config
from tests.conftest import lacking

ROOT = Path(__file__).parent.parent.parent
VARIABLE = re.compile(r"\$\{(?P<name>[A-Z][A-Z0-9_]*)(?:(?P<kind>:?-|:?\?)(?P<rest>[^}]*))?\}")


Rule = dict[str, Any]


def all_rules(file: str) -> list[Rule]:
    """Of a file in deploy/prometheus/rules."""
    text = (ROOT / f"deploy/prometheus/rules/{file}.yml").read_text(encoding="utf-8")
    return [rule for group in yaml.safe_load(text)["groups"] for rule in group["rules"]]


def interpolate(node: Any, environ: Mapping[str, str]) -> Any:
    """Fill in `${NAME}`, `${NAME:-default}` and `${NAME-default}` as Compose does: in values, never in keys."""
    if isinstance(node, dict):
        return {key: interpolate(value, environ) for key, value in node.items()}
    if isinstance(node, list):
        return [interpolate(value, environ) for value in node]
    if not isinstance(node, str):
        return node

    def value(match: re.Match[str]) -> str:
        given = environ.get(match["name"])
        if match["kind"] == ":-":
            return given or match["rest"]
        return given if given is not None else (match["rest"] or "")

    return VARIABLE.sub(value, node)


@pytest.fixture(scope="session")
def root() -> Path:
    return ROOT


@pytest.fixture(scope="session")
def compose_raw() -> dict[str, Any]:
    return yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))


@pytest.fixture(scope="session")
def compose(compose_raw: dict[str, Any]) -> dict[str, Any]:
    """The file as it is with no .env at all."""
    return interpolate(compose_raw, {})


Configured = Callable[..., config.Config]


@pytest.fixture
def configured(compose_raw: dict[str, Any], tmp_path: Path) -> Configured:
    """What the gateway's container reads with these settings of .env: the file, the environment, the secrets.

    The containers' folders are taken for those of this checkout and of a temporary one. `service` may be the demo.
    """
    make = runpy.run_path(str(ROOT / "deploy/compose/make_secrets.py"))["make"]

    def read(env: Mapping[str, str] | None = None, service: str = "gateway") -> config.Config:
        services = interpolate(compose_raw, env or {})["services"]
        make(tmp_path, services["secrets"]["environment"])
        gateway = services[service]
        environ = dict(gateway["environment"])
        for file in gateway.get("env_file", ()):
            if (ROOT / file["path"]).exists():
                lines = (ROOT / file["path"]).read_text(encoding="utf-8").splitlines()
                environ |= dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))
        environ = {name: value.replace("/run/portico", str(tmp_path / "gateway")) for name, value in environ.items()}
        path = environ.get("PORTICO_CONFIG") or gateway["command"][-1]
        file = tmp_path / "portico.yaml"
        text = (ROOT / path.replace("/etc/portico", "deploy/gateway")).read_text(encoding="utf-8")
        file.write_text(text.replace("/etc/portico", str(ROOT / "deploy/gateway")), encoding="utf-8")
        return config.load(file, environ)

    return read


@pytest.fixture(scope="session")
def promtool() -> str:
    """Where promtool is. On a developer's machine without it the test is skipped, in CI it fails."""
    found = shutil.which("promtool")
    if found is None:
        lacking("promtool is not installed (Debian's package prometheus has it)")
    return found
