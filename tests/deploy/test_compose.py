"""docker-compose.yml: valid by the specification, and right in what it means."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import tomllib
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft7Validator

from server import config
from server.stores.sql.place import place_of

from .conftest import VARIABLE, interpolate

Compose = dict[str, Any]
KEY = {"PORTICO_API_KEY": "sk-0123456789abcdef"}


def example(root: Path) -> dict[str, str]:
    """The settings of .env.example."""
    lines = (root / ".env.example").read_text(encoding="utf-8").splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def test_the_file_follows_the_compose_specification(root: Path, compose: Compose, compose_raw: Compose) -> None:
    schema = json.loads((root / "tests/data/compose-spec.json").read_text(encoding="utf-8"))
    for form in (compose, compose_raw):
        assert [error.message for error in Draft7Validator(schema).iter_errors(form)] == []


def test_compose_itself_accepts_it(root: Path, tmp_path: Path) -> None:
    """With Compose's own parser, where it is installed; `config` needs no engine."""
    found = next((command for command in (["docker", "compose"], ["docker-compose"]) if is_current(command)), None)
    if found is None:
        pytest.skip("Docker Compose 2 is not installed")
    for env_file in (root / ".env.example", tmp_path / "none"):
        (tmp_path / "none").touch()
        done = subprocess.run(
            [*found, "--project-directory", str(root), "--env-file", str(env_file), "config", "--quiet"],
            capture_output=True,
            text=True,
            check=False,
        )
        assert (done.returncode, done.stderr) == (0, "")


def is_current(command: list[str]) -> bool:
    """Whether `command` is there and not Compose 1, which knows other files."""
    if shutil.which(command[0]) is None:
        return False
    said = subprocess.run([*command, "version"], capture_output=True, text=True, check=False).stdout
    return re.search(r"version v?([2-9]|\d\d)\.", said) is not None


def test_every_variable_has_a_default(root: Path) -> None:
    for match in VARIABLE.finditer((root / "docker-compose.yml").read_text(encoding="utf-8")):
        assert match["kind"] in (":-", "-"), f"{match[0]} has no default: a first start must need no .env"


def test_no_dollar_is_left_that_compose_would_read_otherwise(root: Path) -> None:
    text = VARIABLE.sub("", (root / "docker-compose.yml").read_text(encoding="utf-8"))
    assert "$" not in text


def test_env_example_lists_each_variable_with_its_default(root: Path) -> None:
    used = VARIABLE.finditer((root / "docker-compose.yml").read_text(encoding="utf-8"))
    assert example(root) == {match["name"]: match["rest"] for match in used}


def test_copying_the_example_changes_nothing(root: Path, compose_raw: Compose, compose: Compose) -> None:
    assert interpolate(compose_raw, example(root)) == compose


def test_images_are_pinned(root: Path, compose: Compose) -> None:
    for name, service in compose["services"].items():
        tag = service["image"].partition(":")[2]
        assert re.fullmatch(r"v?\d+\.\d+\.\d+", tag), f"{name}: {service['image']}"


def test_the_gateway_is_built_here_under_the_projects_version(root: Path, compose: Compose) -> None:
    """The version is in the image's name, so that an upgraded checkout builds anew and does not run the old image."""
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert compose["services"]["gateway"]["image"] == f"portico:{project['version']}"
    assert compose["services"]["gateway"]["build"] == {"context": "."}


def test_only_gateway_and_grafana_are_published_and_on_loopback(compose: Compose) -> None:
    published = {name: service["ports"] for name, service in compose["services"].items() if "ports" in service}
    assert published == {"gateway": ["127.0.0.1:8000:8000"], "grafana": ["127.0.0.1:3000:3000"]}


def test_only_the_gateways_address_can_be_opened(compose_raw: Compose) -> None:
    opened = interpolate(compose_raw, {"GATEWAY_BIND": "0.0.0.0", "GRAFANA_PORT": "3001"})["services"]
    assert opened["gateway"]["ports"] == ["0.0.0.0:8000:8000"]
    assert opened["grafana"]["ports"] == ["127.0.0.1:3001:3000"]


def members(compose: Compose, network: str) -> set[str]:
    return {name for name, service in compose["services"].items() if network in service["networks"]}


def test_who_reaches_whom(compose: Compose) -> None:
    assert {network: members(compose, network) for network in compose["networks"]} == {
        "edge": {"gateway"},
        "engine": {"gateway", "vllm", "prometheus"},
        "weights": {"vllm"},
        "monitoring": {"prometheus", "grafana"},
        "desk": {"grafana"},
    }
    internal = {name for name, network in compose["networks"].items() if network.get("internal")}
    assert internal == {"engine", "monitoring"}


def test_no_service_shares_the_hosts_namespaces(compose: Compose) -> None:
    for service in compose["services"].values():
        assert not {"privileged", "network_mode", "pid", "ipc", "cap_add", "devices", "user"} & service.keys()


def test_the_gateway_is_hardened(compose: Compose) -> None:
    gateway = compose["services"]["gateway"]
    assert gateway["read_only"] is True
    assert gateway["cap_drop"] == ["ALL"]
    assert "no-new-privileges:true" in gateway["security_opt"]
    assert [volume.split(":")[1] for volume in gateway["volumes"] if not volume.endswith(":ro")] == ["/var/lib/portico"]
    assert [mount.split(":")[0] for mount in gateway["tmpfs"]] == ["/tmp"]


def test_every_service_restarts_rotates_its_logs_and_gains_no_privileges(compose: Compose) -> None:
    for service in compose["services"].values():
        assert service["restart"] == "unless-stopped"
        assert service["logging"]["options"].keys() == {"max-size", "max-file"}
        assert service["security_opt"] == ["no-new-privileges:true"]


def test_every_service_has_a_health_check(root: Path, compose: Compose) -> None:
    without = {name for name, service in compose["services"].items() if "healthcheck" not in service}
    assert without == {"gateway"}
    assert "HEALTHCHECK" in (root / "Dockerfile").read_text(encoding="utf-8")


def test_health_checks_run_python_that_compiles(compose: Compose) -> None:
    program, flag, code = compose["services"]["vllm"]["healthcheck"]["test"][1:]
    assert (program, flag) == ("python3", "-c")
    compile(code, "healthcheck", "exec")


def test_volumes_are_declared_and_mounted_files_exist(root: Path, compose: Compose) -> None:
    for service in compose["services"].values():
        for volume in service["volumes"]:
            source = volume.split(":")[0]
            assert (root / source).exists() if source.startswith(".") else source in compose["volumes"], volume


def test_open_streams_have_time_to_finish(root: Path, compose_raw: Compose, compose: Compose) -> None:
    grace = float(compose["services"]["gateway"]["stop_grace_period"].removesuffix("s"))
    assert grace > gateway_config(root, compose_raw, {}).server.shutdown_grace_s


def gateway_config(root: Path, compose_raw: Compose, env: dict[str, str]) -> config.Config:
    """What the gateway's container reads: the mounted file and the environment that Compose gives."""
    environ = interpolate(compose_raw, env)["services"]["gateway"]["environment"]
    return config.load(root / "deploy/gateway/portico.yaml", environ)


@pytest.mark.parametrize("size", ["20b", "120b"])
def test_model_chooses_the_same_in_gateway_and_engine(root: Path, compose_raw: Compose, size: str) -> None:
    env = {"MODEL": size, "MAX_MODEL_LEN": "32768", "MAX_NUM_SEQS": "64"}
    loaded = gateway_config(root, compose_raw, env)
    command = shlex.split(interpolate(compose_raw, env)["services"]["vllm"]["command"])
    flags = dict(pairwise(command))

    assert command[0] == f"openai/gpt-oss-{size}"
    ((name, model),) = loaded.models.items()
    assert name == flags["--served-model-name"] == f"gpt-oss-{size}"
    assert model.engine_model is None
    assert model.aliases == (f"openai/gpt-oss-{size}", "gpt-4o-mini")
    assert model.context_length == int(flags["--max-model-len"]) == 32768
    assert loaded.engines["vllm"].max_in_flight == int(flags["--max-num-seqs"]) == 64
    assert "--enable-auto-tool-choice" in command


@pytest.mark.parametrize("size", ["20b", "120b"])
def test_the_engine_gets_what_the_models_preset_says(root: Path, compose_raw: Compose, size: str) -> None:
    """`portico engine run` and Compose start the same model alike; what is particular to a GPU is for .env."""
    preset = yaml.safe_load((root / f"config/models/gpt-oss-{size}.yaml").read_text(encoding="utf-8"))
    command = shlex.split(interpolate(compose_raw, {"MODEL": size})["services"]["vllm"]["command"])
    flags = dict(pairwise(command))
    assert command[0] == preset["model"]
    assert int(flags["--max-model-len"]) == preset["context_length"]
    assert int(flags["--max-num-seqs"]) == preset["max_num_seqs"]
    for argument in preset["args"]:
        name, _, value = argument.partition("=")
        assert name in command
        assert not value or flags[name] == value
    # What every managed engine gets (server/engines/managed/launch.py): without it no usage tells cached tokens.
    assert "--enable-prompt-tokens-details" in command


def test_the_engine_takes_the_priorities_that_the_gateway_sends(root: Path, compose_raw: Compose) -> None:
    flags = dict(pairwise(shlex.split(interpolate(compose_raw, {})["services"]["vllm"]["command"])))
    assert flags["--scheduling-policy"] == "priority"
    assert gateway_config(root, compose_raw, {}).engines["vllm"].vllm is True


def test_database_and_spool_are_in_the_volume(root: Path, compose_raw: Compose, compose: Compose) -> None:
    """The root file system is read-only, and what is not in the volume does not outlive the container."""
    image = (root / "Dockerfile").read_text(encoding="utf-8")
    home = re.search(r"PORTICO_HOME=(\S+)", image)
    assert home
    volumes = dict(volume.split(":")[:2] for volume in compose["services"]["gateway"]["volumes"])
    assert volumes["state"] == home[1]
    stores = gateway_config(root, compose_raw, {}).stores
    assert place_of(stores.durable, Path(home[1])).file == Path(home[1]) / "var/portico.db"
    assert (Path(home[1]) / stores.spool).is_relative_to(home[1])
    assert stores.volatile == "memory://"


def test_stores_can_be_shared(root: Path, compose_raw: Compose) -> None:
    env = {"DURABLE_STORE": "postgresql://portico:x@db/portico", "VOLATILE_STORE": "rediss://cache:6379/0"}
    stores = gateway_config(root, compose_raw, env).stores
    assert (stores.durable, stores.volatile) == (env["DURABLE_STORE"], env["VOLATILE_STORE"])


def test_engine_arguments_with_spaces_stay_arguments(compose_raw: Compose) -> None:
    filled = interpolate(compose_raw, {"VLLM_ARGS": "--max-num-batched-tokens 1024"})
    assert shlex.split(filled["services"]["vllm"]["command"])[-2:] == ["--max-num-batched-tokens", "1024"]


def test_aliases_may_be_none_or_many(root: Path, compose_raw: Compose) -> None:
    for given, names in (("", ()), ("gpt-4o-mini, gpt-4o", ("gpt-4o-mini", "gpt-4o"))):
        loaded = gateway_config(root, compose_raw, {"MODEL_ALIASES": given})
        assert loaded.models["gpt-oss-20b"].aliases == ("openai/gpt-oss-20b", *names)


def test_the_gateway_finds_the_engine(root: Path, compose_raw: Compose, compose: Compose) -> None:
    loaded = gateway_config(root, compose_raw, KEY)
    assert loaded.engines["vllm"].url == "http://vllm:8000/v1"
    assert loaded.server.host == loaded.metrics.host == "0.0.0.0"
    assert f"{loaded.server.port}" == compose["services"]["gateway"]["ports"][0].split(":")[2]
    assert loaded.auth.mode == "keys"
    assert [key.name for key in loaded.auth.static_keys] == ["environment"]


def test_every_gpu_reserved_is_used(compose_raw: Compose) -> None:
    vllm = interpolate(compose_raw, {"GPU_COUNT": "4"})["services"]["vllm"]
    (device,) = vllm["deploy"]["resources"]["reservations"]["devices"]
    assert (device["driver"], device["count"], device["capabilities"]) == ("nvidia", "4", ["gpu"])
    assert "--tensor-parallel-size 4 " in vllm["command"]


def test_no_secret_is_shipped(root: Path) -> None:
    for path in ("docker-compose.yml", ".env.example", "deploy/gateway/portico.yaml"):
        text = (root / path).read_text(encoding="utf-8")
        assert not re.search(r"\bsk-\w|\bhf_\w|(?i:password)\s*[:=]\s*\S", text), path
