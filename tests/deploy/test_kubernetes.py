"""deploy/kubernetes: each overlay renders, each object is valid, and together they mean what they should."""

from __future__ import annotations

import json
import re
import runpy
import shutil
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from jsonschema import Draft7Validator

from server import config
from server.moderation.files import load_policy
from tests.conftest import lacking
from tests.deploy.crds import SCHEMAS

Object = dict[str, Any]
ROOT = Path(__file__).parent.parent.parent
OVERLAYS = ("single", "replicas", "multi-node")
# The oldest that knows preStop.sleep without a feature gate, and the newest that the package has schemas of.
VERSIONS = ("1.30", kubernetes_validate.latest_version())


@cache
def renderer() -> tuple[str, ...] | None:
    """kubectl or kustomize; kubectl before 1.24 has a kustomize of 2019, which knows no components."""
    if shutil.which("kustomize"):
        return ("kustomize", "build")
    if shutil.which("kubectl"):
        said = subprocess.run(["kubectl", "version", "--client"], capture_output=True, text=True, check=False).stdout
        version = re.search(r"v1\.(\d+)", said)
        if version and int(version[1]) >= 24:
            return ("kubectl", "kustomize")
    return None


@cache
def rendered(overlay: str) -> list[Object]:
    command = renderer()
    if command is None:
        lacking("kubectl 1.24 or newer, or kustomize, is not installed")
    done = subprocess.run(
        [*command, ROOT / "deploy/kubernetes/overlays" / overlay], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    return [one for one in yaml.safe_load_all(done.stdout) if one]


@pytest.fixture(params=OVERLAYS)
def overlay(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def objects(overlay: str) -> list[Object]:
    return rendered(overlay)


def named(objects: list[Object], kind: str, name: str) -> Object:
    (found,) = (one for one in objects if (one["kind"], one["metadata"]["name"]) == (kind, name))
    return found


def templates(objects: list[Object]) -> Iterator[Object]:
    """Of all pods."""
    for one in objects:
        if one["kind"] in ("Deployment", "StatefulSet"):
            yield one["spec"]["template"]
        if one["kind"] == "LeaderWorkerSet":
            yield one["spec"]["leaderWorkerTemplate"]["leaderTemplate"]
            yield one["spec"]["leaderWorkerTemplate"]["workerTemplate"]


def gateway_pod(objects: list[Object]) -> Object:
    return named(objects, "Deployment", "gateway")["spec"]["template"]["spec"]


def files(objects: list[Object], start: str) -> dict[str, str]:
    (found,) = (one for one in objects if one["kind"] == "ConfigMap" and one["metadata"]["name"].startswith(start))
    return found["data"]


@pytest.fixture
def gateway(objects: list[Object], tmp_path: Path) -> config.Config:
    """What the gateway reads in its pod, with a Secret that has what the overlay's head asks for."""
    for name, text in files(objects, "gateway-config").items():
        (tmp_path / name).write_text(text.replace("/etc/portico", str(tmp_path)), encoding="utf-8")
    secret = {"api-key": "sk-0123456789abcdef", "engine-key": "e", "durable": "postgresql://u:p@h/n"}
    for name, text in (secret | {"volatile": "rediss://:p@h:6379/0"}).items():
        (tmp_path / name).write_text(text)
    (tmp_path / "policies").mkdir()
    for name, text in files(objects, "gateway-policies").items():
        (tmp_path / "policies" / name).write_text(text, encoding="utf-8")
    environ = {
        one["name"]: one["value"].replace("/run/portico", str(tmp_path))
        for one in gateway_pod(objects)["containers"][0]["env"]
    }
    return config.load(tmp_path / "portico.yaml", environ)


def test_each_object_is_valid(objects: list[Object]) -> None:
    for one in objects:
        schema = SCHEMAS.get((one["apiVersion"], one["kind"]))
        if schema:
            assert [error.message for error in Draft7Validator(schema).iter_errors(one)] == []
            continue
        for version in VERSIONS:
            kubernetes_validate.validate(one, version, strict=True)


def test_pods_of_custom_resources_are_valid_too(objects: list[Object]) -> None:
    for template in templates(objects):
        pod = {"apiVersion": "v1", "kind": "PodTemplate", "metadata": {"name": "any"}, "template": template}
        for version in VERSIONS:
            kubernetes_validate.validate(pod, version, strict=True)


def test_all_is_in_one_namespace_and_nothing_is_there_twice(objects: list[Object]) -> None:
    for one in objects:
        assert one["kind"] == "Namespace" or one["metadata"]["namespace"] == "portico"
    places = [(one["kind"], one["metadata"]["name"]) for one in objects]
    assert len(set(places)) == len(places)


def test_no_secret_is_shipped(objects: list[Object]) -> None:
    assert not [one for one in objects if one["kind"] == "Secret"]
    for template in templates(objects):
        for container in template["spec"]["containers"]:
            for one in container["env"]:
                secret = re.search("KEY|TOKEN|DURABLE|VOLATILE", one["name"])
                assert not secret or one["name"].endswith("_FILE") or "secretKeyRef" in one["valueFrom"], one


def test_images_are_pinned_and_those_of_compose(objects: list[Object], compose: Object) -> None:
    images = {container["image"] for template in templates(objects) for container in template["spec"]["containers"]}
    assert images == {compose["services"][name]["image"] for name in ("gateway", "vllm")}


def test_the_gateway_is_confined(root: Path, objects: list[Object]) -> None:
    pod = gateway_pod(objects)
    (container,) = pod["containers"]
    user = re.findall(r"^USER (\d+):(\d+)$", (root / "Dockerfile").read_text(encoding="utf-8"), re.MULTILINE)[0]
    context = pod["securityContext"]
    assert (str(context["runAsUser"]), str(context["runAsGroup"]), context["runAsNonRoot"]) == (*user, True)
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    writable = {mount["mountPath"] for mount in container["volumeMounts"] if not mount.get("readOnly")}
    assert writable == {"/var/lib/portico", "/tmp"}


def test_variables_that_kubernetes_adds_for_services_are_off(objects: list[Object]) -> None:
    """A Service `vllm` would set VLLM_PORT, which vLLM takes for its own."""
    for template in templates(objects):
        assert template["spec"]["enableServiceLinks"] is False
        assert template["spec"]["automountServiceAccountToken"] is False


def test_a_rollout_loses_no_stream(objects: list[Object], gateway: config.Config) -> None:
    deployment = named(objects, "Deployment", "gateway")
    assert deployment["spec"]["strategy"]["rollingUpdate"] == {"maxSurge": 1, "maxUnavailable": 0}
    pod = gateway_pod(objects)
    before = pod["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert before >= 5  # until no proxy sends anything new
    assert pod["terminationGracePeriodSeconds"] >= before + gateway.server.shutdown_grace_s + 15
    assert named(objects, "PodDisruptionBudget", "gateway")["spec"]["maxUnavailable"] == 1


def test_probes_ask_what_the_gateway_answers(objects: list[Object], gateway: config.Config) -> None:
    (container,) = gateway_pod(objects)["containers"]
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    assert ports == {"api": gateway.server.port, "metrics": gateway.metrics.port}
    assert gateway.server.host == gateway.metrics.host == "0.0.0.0"
    paths = {kind: container[f"{kind}Probe"]["httpGet"]["path"] for kind in ("startup", "liveness", "readiness")}
    assert paths == {"startup": "/healthz", "liveness": "/healthz", "readiness": "/readyz"}


def engine_args(objects: list[Object]) -> list[list[str]]:
    """Of each kind of pod with vLLM."""
    return [
        [*container["command"], *container["args"]]
        for template in templates(objects)
        for container in template["spec"]["containers"]
        if container["name"] == "vllm"
    ]


def test_engines_are_what_the_gateway_expects(root: Path, objects: list[Object], gateway: config.Config) -> None:
    ((name, model),) = gateway.models.items()
    preset = yaml.safe_load((root / f"config/models/{name}.yaml").read_text(encoding="utf-8"))
    for arguments in engine_args(objects):
        flags = dict(argument.split("=", 1) for argument in arguments if "=" in argument)
        assert arguments[2 + ("--headless" in arguments)] == preset["model"]
        assert flags["--served-model-name"] == name
        assert int(flags["--max-model-len"]) == model.context_length
        assert flags["--scheduling-policy"] == "priority"
        assert {*preset["args"], "--enable-prompt-tokens-details"} <= {*arguments}
        for engine in model.engines:
            assert gateway.engines[engine].max_in_flight == int(flags["--max-num-seqs"])
            assert gateway.engines[engine].vllm is True
            assert gateway.engines[engine].api_key == "e"
    assert {*model.engines} == gateway.engines.keys()


def test_engines_are_where_the_gateway_looks(overlay: str, objects: list[Object], gateway: config.Config) -> None:
    service = named(objects, "Service", "vllm")["spec"]
    hosts = [re.sub(r"^http://([^:/]+):8000/v1$", r"\1", engine.url or "") for engine in gateway.engines.values()]
    if overlay == "multi-node":
        assert hosts == ["vllm"]
        assert service["selector"]["leaderworkerset.sigs.k8s.io/worker-index"] == "0"
    else:
        assert service["clusterIP"] == "None"
        assert hosts == [f"vllm-{number}.vllm" for number in range(len(hosts))]
        assert named(objects, "StatefulSet", "vllm")["spec"]["serviceName"] == "vllm"


def test_only_gateway_and_monitoring_reach_an_engine(overlay: str, objects: list[Object]) -> None:
    policies = [one["spec"] for one in objects if one["kind"] == "NetworkPolicy"]
    assert {"podSelector": {}, "policyTypes": ["Ingress"]} in policies
    engine = {"matchLabels": {"app.kubernetes.io/name": "vllm"}}
    admitted = [
        source
        for policy in policies
        if policy["podSelector"] == engine
        for rule in policy["ingress"]
        for source in rule["from"]
    ]
    expected = [
        {"podSelector": {"matchLabels": {"app.kubernetes.io/name": "gateway"}}},
        {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}},
    ]
    assert admitted == [*expected, *([{"podSelector": engine}] if overlay == "multi-node" else [])]
    for template in templates(objects):
        assert template["metadata"]["labels"]["app.kubernetes.io/name"] in ("gateway", "vllm")


def test_stores_are_shared_where_gateways_are_many(overlay: str, objects: list[Object], gateway: config.Config) -> None:
    shared = gateway.stores.durable.startswith("postgresql://") and gateway.stores.volatile.startswith("rediss://")
    assert shared is (overlay != "single")
    state = next(volume for volume in gateway_pod(objects)["volumes"] if volume["name"] == "state")
    assert ("persistentVolumeClaim" in state) is (overlay == "single")


def test_the_policy_can_be_loaded(gateway: config.Config) -> None:
    assert gateway.moderation.folder
    (file,) = gateway.moderation.folder.glob("*.yaml")
    assert load_policy(file).file.name == "house"


def test_autoscaling_stays_within_the_configuration(root: Path, tmp_path: Path) -> None:
    objects = rendered("replicas")
    text = yaml.safe_load(files(objects, "gateway-config")["portico.yaml"])
    gateways, engines = (named(objects, "ScaledObject", name)["spec"] for name in ("gateway", "vllm"))
    assert gateways["maxReplicaCount"] == text["limits"]["replicas"]
    assert engines["maxReplicaCount"] == len(text["engines"])
    assert engines["minReplicaCount"] >= 2
    for spec in (gateways, engines):
        target = spec["scaleTargetRef"]
        assert named(objects, target.get("kind", "Deployment"), target["name"])
    (in_flight, _) = engines["triggers"]
    assert int(in_flight["metadata"]["threshold"]) < text["engines"]["vllm-0"]["max_in_flight"]


def test_autoscaling_asks_for_metrics_that_exist(root: Path, promtool: str, tmp_path: Path) -> None:
    declared = (root / "docs/operations.md").read_text(encoding="utf-8")
    queries = [
        trigger["metadata"]["query"]
        for one in rendered("replicas")
        if one["kind"] == "ScaledObject"
        for trigger in one["spec"]["triggers"]
        if trigger["type"] == "prometheus"
    ]
    assert len(queries) == 3
    for query in queries:
        for name in re.findall(r"portico_\w+", query):
            assert f"### `{name.removesuffix('_bucket')}`" in declared
    rules = [{"record": f"query:{number}", "expr": query} for number, query in enumerate(queries)]
    file = tmp_path / "queries.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "queries", "rules": rules}]}))
    done = subprocess.run([promtool, "check", "rules", file], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_ranks_of_an_engine_fit_its_nodes() -> None:
    group = named(rendered("multi-node"), "LeaderWorkerSet", "vllm")["spec"]["leaderWorkerTemplate"]
    leader, worker = engine_args(rendered("multi-node"))
    flags = dict(argument.split("=", 1) for argument in leader if "=" in argument)
    assert int(flags["--nnodes"]) == int(flags["--pipeline-parallel-size"]) == group["size"]
    gpus = group["leaderTemplate"]["spec"]["containers"][0]["resources"]["limits"]["nvidia.com/gpu"]
    assert flags["--tensor-parallel-size"] == gpus
    assert [argument for argument in worker if argument != "--headless"] == leader
    assert "--headless" in worker
    for name in ("affinity", "nodeSelector", "volumes", "tolerations"):
        assert group["workerTemplate"]["spec"].get(name) == group["leaderTemplate"]["spec"].get(name)


def test_what_is_made_of_rules_and_dashboards_is_current(root: Path) -> None:
    tool = runpy.run_path(str(root / "tools/kubernetes.py"))
    assert tool["RULES"].read_text(encoding="utf-8") == tool["rules"](), "run: python tools/kubernetes.py"
    assert tool["DASHBOARDS"].read_text(encoding="utf-8") == tool["dashboards"](), "run: python tools/kubernetes.py"


def test_rule_files_become_one_valid_object(root: Path) -> None:
    tool = runpy.run_path(str(root / "tools/kubernetes.py"))
    first = 'groups: [{name: a, interval: 30s, rules: [{record: "x:y", expr: "1"}]}]'
    second = "groups: [{name: b, rules: [{alert: Down, expr: up == 0, for: 2m, labels: {severity: page}}]}]"
    made = tool["prometheus_rule"]([first, second])
    assert [group["name"] for group in made["spec"]["groups"]] == ["a", "b"]
    schema = Draft7Validator(SCHEMAS[made["apiVersion"], made["kind"]])
    assert not list(schema.iter_errors(made))
    made["spec"]["groups"][1]["rules"][0]["forr"] = "2m"
    assert [error.message for error in schema.iter_errors(made)]


def test_dashboards_are_all_there_and_fit_a_config_map(root: Path) -> None:
    shipped = {
        file.name: file.read_text(encoding="utf-8") for file in (root / "deploy/grafana/dashboards").glob("*.json")
    }
    found: dict[str, str] = {}
    for one in rendered("replicas"):
        if one["kind"] == "ConfigMap" and one["metadata"].get("labels", {}).get("grafana_dashboard") == "1":
            found |= one["data"]
            assert len(json.dumps(one)) < 1_000_000
    assert found == shipped


def test_engines_are_scraped_as_by_compose(root: Path) -> None:
    prometheus = yaml.safe_load((root / "deploy/prometheus/prometheus.yml").read_text(encoding="utf-8"))
    (job,) = (job for job in prometheus["scrape_configs"] if job["job_name"] == "vllm")
    (endpoint,) = named(rendered("replicas"), "ServiceMonitor", "vllm")["spec"]["endpoints"]
    camel = [
        {re.sub(r"_(\w)", lambda m: m[1].upper(), key): rule[key] for key in rule}
        for rule in job["metric_relabel_configs"]
    ]
    assert endpoint["metricRelabelings"] == camel
    assert endpoint["interval"] == prometheus["global"]["scrape_interval"]
