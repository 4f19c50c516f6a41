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

from server.moderation.files import load_policy
from server.stores.sql.place import place_of

from .conftest import VARIABLE, Configured, interpolate

Compose = dict[str, Any]


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
    """`$$` is a dollar for a shell in the container."""
    text = VARIABLE.sub("", (root / "docker-compose.yml").read_text(encoding="utf-8")).replace("$$", "")
    assert "$" not in text


def test_env_example_lists_each_variable_with_its_default(root: Path) -> None:
    used = VARIABLE.finditer((root / "docker-compose.yml").read_text(encoding="utf-8"))
    assert example(root) == {match["name"]: match["rest"] for match in used}


def test_copying_the_example_changes_nothing(root: Path, compose_raw: Compose, compose: Compose) -> None:
    assert interpolate(compose_raw, example(root)) == compose


def test_images_are_pinned(root: Path, compose: Compose) -> None:
    for name, service in compose["services"].items():
        tag = service["image"].partition(":")[2]
        # PostgreSQL's releases have two numbers.
        form = r"\d+\.\d+" if name == "postgres" else r"v?\d+\.\d+\.\d+"
        assert re.fullmatch(form, tag), f"{name}: {service['image']}"


def test_the_gateway_is_built_here_under_the_projects_version(root: Path, compose: Compose) -> None:
    """The version is in the image's name, so that an upgraded checkout builds anew and does not run the old image."""
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    for name in ("gateway", "demo", "secrets"):
        assert compose["services"][name]["image"] == f"portico:{project['version']}"
        assert compose["services"][name]["build"] == {"context": "."}


def test_only_gateway_and_grafana_are_published_and_on_loopback(compose: Compose) -> None:
    published = {name: service["ports"] for name, service in compose["services"].items() if "ports" in service}
    gateway = ["127.0.0.1:8000:8000"]
    assert published == {"gateway": gateway, "demo": gateway, "grafana": ["127.0.0.1:3000:3000"]}


def test_only_the_gateways_address_can_be_opened(compose_raw: Compose) -> None:
    opened = interpolate(compose_raw, {"GATEWAY_BIND": "0.0.0.0", "GRAFANA_PORT": "3001"})["services"]
    assert opened["gateway"]["ports"] == ["0.0.0.0:8000:8000"]
    assert opened["grafana"]["ports"] == ["127.0.0.1:3001:3000"]


def members(compose: Compose, network: str) -> set[str]:
    return {name for name, service in compose["services"].items() if network in service.get("networks", ())}


def test_who_reaches_whom(compose: Compose) -> None:
    assert {network: members(compose, network) for network in compose["networks"]} == {
        "edge": {"gateway", "demo"},
        "engine": {"gateway", "vllm", "safeguard"},
        "stores": {"gateway", "demo", "postgres", "valkey"},
        "scrape": {"gateway", "demo", "vllm", "safeguard", "prometheus"},
        "weights": {"vllm", "safeguard"},
        "monitoring": {"prometheus", "grafana"},
        "desk": {"grafana"},
        "tools": {"gateway", "vllm", "python-tool"},
    }
    internal = {name for name, network in compose["networks"].items() if network.get("internal")}
    assert internal == {"engine", "stores", "scrape", "monitoring", "tools"}


def test_without_a_profile_the_service_for_a_gpu_starts(compose: Compose) -> None:
    assert {name: service["profiles"] for name, service in compose["services"].items() if "profiles" in service} == {
        "safeguard": ["safeguard"],
        "demo": ["demo"],
        "python-tool": ["tools"],
    }


def needed(compose: Compose, *names: str) -> set[str]:
    """What `docker compose up NAMES` starts."""
    found: set[str] = set()
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += compose["services"][name].get("depends_on", {})
    return found


def test_the_demo_starts_no_gpu(compose: Compose) -> None:
    started = needed(compose, "demo", "grafana")
    assert started == {"demo", "secrets", "postgres", "valkey", "grafana", "prometheus"}
    assert not any("deploy" in compose["services"][name] for name in started)


def test_the_engine_uses_tools_where_they_run(root: Path, compose_raw: Compose, compose: Compose) -> None:
    """.env.example says how; without it vLLM is told of none, and does not wait for what is not there."""
    command = compose["services"]["vllm"]["command"]
    assert "--tool-server" not in command
    assert compose["services"]["vllm"]["depends_on"]["python-tool"]["required"] is False
    text = (root / ".env.example").read_text(encoding="utf-8")
    given = re.search(r"^#   COMPOSE_PROFILES=tools\n#   VLLM_ARGS=(.+)$", text, re.MULTILINE)
    assert given
    told = shlex.split(interpolate(compose_raw, {"VLLM_ARGS": given[1]})["services"]["vllm"]["command"])
    assert dict(pairwise(told))["--tool-server"] == "python-tool:8000"  # 8000 is what deploy/tools/python_tool.py takes


def test_code_of_the_model_is_confined(compose: Compose) -> None:
    tool = compose["services"]["python-tool"]
    assert tool["image"] == compose["services"]["vllm"]["image"]
    assert tool["networks"] == ["tools"] and compose["networks"]["tools"]["internal"] is True
    assert tool["user"] != "0:0" and "deploy" not in tool
    assert tool["environment"]["NVIDIA_VISIBLE_DEVICES"] == "void"
    assert all(volume.endswith(":ro") and "secrets" not in volume for volume in tool["volumes"])
    assert {"mem_limit", "pids_limit", "cpus"} <= tool.keys()


def test_who_waits_for_whom(compose: Compose) -> None:
    """Databases answer before the gateway starts, and secrets are there before anything reads one."""
    for name, service in compose["services"].items():
        reads = any("-secrets:" in volume and name != "secrets" for volume in service["volumes"])
        waits = {other: how["condition"] for other, how in service.get("depends_on", {}).items()}
        assert (waits.get("secrets") == "service_completed_successfully") is reads, name
        for other in {"postgres", "valkey"} & waits.keys():
            assert waits[other] == "service_healthy"
    assert needed(compose, "gateway") >= {"postgres", "valkey", "vllm"}


def test_no_service_shares_the_hosts_namespaces(compose: Compose) -> None:
    for name, service in compose["services"].items():
        assert not {"privileged", "pid", "ipc", "devices"} & service.keys()
        assert service.get("network_mode", "none") == "none"
        assert service.get("user") != "0:0" or (name, service["network_mode"]) == ("secrets", "none")
        assert "cap_add" not in service or (name, service["cap_drop"]) == ("postgres", ["ALL"])


@pytest.mark.parametrize("name", ["gateway", "demo", "secrets", "postgres", "valkey", "prometheus", "python-tool"])
def test_root_file_systems_that_can_be_are_read_only_and_without_capabilities(compose: Compose, name: str) -> None:
    assert compose["services"][name]["read_only"] is True
    assert compose["services"][name]["cap_drop"] == ["ALL"]


def test_a_secret_is_in_files_that_only_its_readers_mount(compose: Compose) -> None:
    mounts = {
        name: {volume.split(":")[0] for volume in service["volumes"] if "-secrets:" in volume}
        for name, service in compose["services"].items()
    }
    assert mounts.pop("secrets") == {"gateway-secrets", "engine-secrets", "postgres-secrets", "valkey-secrets"}
    assert {name: found for name, found in mounts.items() if found} == {
        "gateway": {"gateway-secrets"},
        "demo": {"gateway-secrets"},
        "vllm": {"engine-secrets"},
        "safeguard": {"engine-secrets"},
        "postgres": {"postgres-secrets"},
        "valkey": {"valkey-secrets"},
    }
    for name, service in compose["services"].items():
        for volume in service["volumes"]:
            assert name == "secrets" or "-secrets:" not in volume or volume.endswith(":/run/portico:ro"), volume
        given = {key for key in service.get("environment", {}) if re.search("KEY|TOKEN|PASSWORD|DURABLE|VOLATILE", key)}
        assert name == "secrets" or all(key.endswith(("_FILE", "_PATH")) for key in given), (name, given)


def test_the_gateway_is_hardened(compose: Compose) -> None:
    gateway = compose["services"]["gateway"]
    assert gateway["read_only"] is True
    assert gateway["cap_drop"] == ["ALL"]
    assert "no-new-privileges:true" in gateway["security_opt"]
    assert [volume.split(":")[1] for volume in gateway["volumes"] if not volume.endswith(":ro")] == ["/var/lib/portico"]
    assert [mount.split(":")[0] for mount in gateway["tmpfs"]] == ["/tmp"]


def test_every_service_restarts_rotates_its_logs_and_gains_no_privileges(compose: Compose) -> None:
    for name, service in compose["services"].items():
        assert service["restart"] == ("no" if name == "secrets" else "unless-stopped")
        assert service["logging"]["options"].keys() == {"max-size", "max-file"}
        assert service["security_opt"] == ["no-new-privileges:true"]


def test_every_service_has_a_health_check(compose: Compose) -> None:
    without = {name for name, service in compose["services"].items() if "test" not in service["healthcheck"]}
    assert without == {"secrets"}, "it ends at once, and that is waited for"


def test_the_gateways_health_check_is_that_of_the_image(root: Path, compose: Compose) -> None:
    (image,) = re.findall(r"^ +CMD (\[.*\])$", (root / "Dockerfile").read_text(encoding="utf-8"), re.MULTILINE)
    assert compose["services"]["gateway"]["healthcheck"]["test"] == ["CMD", *json.loads(image)]


def test_health_checks_run_python_that_compiles(compose: Compose) -> None:
    for name in ("vllm", "safeguard", "gateway", "demo", "python-tool"):
        test = compose["services"][name]["healthcheck"]["test"]
        assert (test[0], test[-2]) == ("CMD", "-c")
        compile(test[-1], "healthcheck", "exec")


def test_volumes_are_declared_and_mounted_files_exist(root: Path, compose: Compose) -> None:
    for service in compose["services"].values():
        for volume in service["volumes"]:
            source = volume.split(":")[0]
            assert (root / source).exists() if source.startswith(".") else source in compose["volumes"], volume


def test_open_streams_have_time_to_finish(configured: Configured, compose: Compose) -> None:
    grace = float(compose["services"]["gateway"]["stop_grace_period"].removesuffix("s"))
    assert grace > configured().server.shutdown_grace_s


@pytest.mark.parametrize("size", ["20b", "120b"])
def test_model_chooses_the_same_in_gateway_and_engine(configured: Configured, compose_raw: Compose, size: str) -> None:
    env = {"MODEL": size, "MAX_MODEL_LEN": "32768", "MAX_NUM_SEQS": "64"}
    loaded = configured(env)
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


def test_the_engine_takes_the_priorities_that_the_gateway_sends(configured: Configured, compose_raw: Compose) -> None:
    flags = dict(pairwise(shlex.split(interpolate(compose_raw, {})["services"]["vllm"]["command"])))
    assert flags["--scheduling-policy"] == "priority"
    assert configured().engines["vllm"].vllm is True


@pytest.mark.parametrize("name", ["gateway", "demo"])
def test_stores_are_those_of_this_file_and_the_spool_is_in_a_volume(
    root: Path, configured: Configured, compose: Compose, tmp_path: Path, name: str
) -> None:
    """The root file system is read-only, and what is not in the volume does not outlive the container."""
    stores = configured(service=name).stores
    password = (tmp_path / "postgres/password").read_text()
    service = compose["services"]["postgres"]["environment"]
    assert stores.durable == f"postgresql://{service['POSTGRES_USER']}:{password}@postgres/{service['POSTGRES_DB']}"
    valkey = (tmp_path / "valkey/valkey.conf").read_text()
    assert stores.volatile == f"redis://:{re.findall('^requirepass (.+)$', valkey, re.MULTILINE)[0]}@valkey:6379/0"
    assert "maxmemory-policy noeviction" in valkey

    home = re.search(r"PORTICO_HOME=(\S+)", (root / "Dockerfile").read_text(encoding="utf-8"))
    assert home
    assert home[1] in [volume.split(":")[1] for volume in compose["services"][name]["volumes"]]
    assert (Path(home[1]) / stores.spool).is_relative_to(home[1])


def test_stores_can_be_ones_own(configured: Configured) -> None:
    env = {"DURABLE_STORE": "postgresql://portico:x@db/portico", "VOLATILE_STORE": "rediss://cache:6379/0"}
    stores = configured(env).stores
    assert (stores.durable, stores.volatile) == (env["DURABLE_STORE"], env["VOLATILE_STORE"])
    file = configured({"DURABLE_STORE": "sqlite:///var/portico.db"}).stores.durable
    assert place_of(file, Path("/var/lib/portico")).file == Path("/var/lib/portico/var/portico.db")


def test_gateway_and_engine_have_the_same_key(configured: Configured, tmp_path: Path) -> None:
    for env in ({}, {"ENGINE_KEY": "given-by-env"}, {}):
        key = configured(env).engines["vllm"].api_key
        assert key == (tmp_path / "engine/engine-key").read_text()
        assert not env or key == "given-by-env"


def test_the_safeguard_profile_judges_every_call(configured: Configured, compose: Compose, root: Path) -> None:
    loaded = configured({"GATEWAY_CONFIG": "safeguard.yaml"})
    plain = configured()
    assert loaded.engines["vllm"] == plain.engines["vllm"]
    assert (loaded.server, loaded.metrics, loaded.models) == (plain.server, plain.metrics, plain.models)
    assert loaded.engines["safeguard"].url == "http://safeguard:8000/v1"
    assert loaded.engines["safeguard"].api_key == loaded.engines["vllm"].api_key
    assert loaded.moderation.policy
    (judge,) = load_policy(loaded.moderation.policy).file.judges
    flags = dict(pairwise(shlex.split(compose["services"]["safeguard"]["command"])))
    assert (judge.engine, judge.model, judge.on_failure) == ("safeguard", flags["--served-model-name"], "closed")
    # On a GPU of its own: the engine takes the first ones.
    (own,) = compose["services"]["safeguard"]["deploy"]["resources"]["reservations"]["devices"]
    assert own["device_ids"] == ["1"]


def test_the_gateway_runs_code_in_the_container_for_it(configured: Configured, compose: Compose) -> None:
    loaded, plain = configured({"GATEWAY_CONFIG": "tools.yaml"}), configured()
    assert (loaded.engines, loaded.server, loaded.metrics, loaded.models) == (
        plain.engines, plain.server, plain.metrics, plain.models,
    )  # fmt: skip
    (server,) = loaded.tools.servers.values()
    assert (server.role, server.url) == ("code_interpreter", "http://python-tool:8000/mcp")
    assert "tools" in compose["services"]["gateway"]["networks"]


def test_the_demo_serves_its_model_on_the_cpu(configured: Configured) -> None:
    engine = configured(service="demo").engines["local"].managed
    assert engine
    assert (engine.model, engine.device) == ("demo", "cpu")


def test_engine_arguments_with_spaces_stay_arguments(compose_raw: Compose) -> None:
    filled = interpolate(compose_raw, {"VLLM_ARGS": "--max-num-batched-tokens 1024"})
    assert shlex.split(filled["services"]["vllm"]["command"])[-2:] == ["--max-num-batched-tokens", "1024"]


def test_aliases_may_be_none_or_many(configured: Configured) -> None:
    for given, names in (("", ()), ("gpt-4o-mini, gpt-4o", ("gpt-4o-mini", "gpt-4o"))):
        loaded = configured({"MODEL_ALIASES": given})
        assert loaded.models["gpt-oss-20b"].aliases == ("openai/gpt-oss-20b", *names)


def test_the_gateway_finds_the_engine(configured: Configured, compose: Compose) -> None:
    loaded = configured()
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
    for path in (root / "docker-compose.yml", root / ".env.example", *(root / "deploy").rglob("*.yaml")):
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"\bsk-\w|\bhf_\w|(?i:password)\s*[:=]\s*\S", text), path
