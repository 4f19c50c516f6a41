"""The gateways that are measured: how each is installed, configured as lean as its users can, and started.

Each `start` function gets the engine's port and a scratch folder, and gives the running process with its address.
A new gateway is one function and one line in GATEWAYS.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path

from bench.compiled import compiled, environ
from bench.environments import environment, locked_version
from bench.process import Process, StartError, free_ports

MODEL = "gpt-oss-20b"
KEY = "sk-bench-0123456789abcdef0123456789abcdef"


@dataclass(frozen=True)
class Running:
    """A started gateway: its process, its base URL without /v1, its version, and what runs for it besides."""

    process: Process
    base: str
    version: str
    beside: tuple[Process, ...] = ()

    def stop(self) -> None:
        for process in (self.process, *self.beside):
            process.stop()


Start = Callable[[int, Path], Running]


def _url(port: int) -> str:
    return f"http://127.0.0.1:{port}"


def start_nginx(engine_port: int, folder: Path) -> Running:
    """nginx as a bare reverse proxy: no keys, no log; the practical floor."""
    nginx = shutil.which("nginx") or next((p for p in ("/usr/sbin/nginx",) if Path(p).exists()), None)
    if nginx is None:
        raise StartError("is not installed (Debian: apt-get install nginx-light)")
    (port,) = free_ports(1)
    temporary = "".join(
        f"  {kind}_temp_path {folder}/{kind};\n" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    config = folder / "nginx.conf"
    config.write_text(
        f"""daemon off; worker_processes 1; pid {folder}/nginx.pid; error_log {folder}/nginx-error.log;
events {{ worker_connections 8192; }}
http {{
  access_log off; keepalive_requests 100000000; keepalive_timeout 300s; tcp_nodelay on;
{temporary}
  upstream engine {{ server 127.0.0.1:{engine_port}; keepalive 512; keepalive_requests 100000000; }}
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    location / {{
      proxy_pass http://engine; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_buffering off;
    }}
  }}
}}
""",
        encoding="utf-8",
    )
    said = subprocess.run([nginx, "-v"], capture_output=True, text=True, check=False).stderr
    process = Process([nginx, "-p", folder, "-c", config, "-e", folder / "nginx-error.log"], folder / "nginx.log")
    return Running(process, _url(port), said.strip().rpartition("/")[2])


def _start_router(peer: str, module: str, extra: list[str], engine_port: int, folder: Path) -> Running:
    python = environment(peer) / "bin/python"
    port, metrics_port = free_ports(2)
    command: list[str | Path] = [python, "-m", module, "--worker-urls", _url(engine_port)]
    command += ["--host", "127.0.0.1", "--port", str(port)]
    # Its metrics listen on 0.0.0.0:29000 unless told otherwise.
    command += ["--prometheus-host", "127.0.0.1", "--prometheus-port", str(metrics_port)]
    # The default, cache_aware, keeps a tree of all prompts: with one engine round_robin is the same for less work.
    command += ["--policy", "round_robin", "--worker-startup-check-interval", "1", *extra]
    return Running(Process(command, folder / f"{peer}.log"), _url(port), locked_version(peer))


def start_sglang_router(engine_port: int, folder: Path) -> Running:
    extra = ["--log-level", "warn", "--shutdown-grace-period-secs", "1"]  # 180 by default
    return _start_router("sglang-router", "sglang_router.launch_router", extra, engine_port, folder)


def start_vllm_router(engine_port: int, folder: Path) -> Running:
    return _start_router("vllm-router", "vllm_router.launch_router", ["--log-level", "warning"], engine_port, folder)


def start_litellm(engine_port: int, folder: Path) -> Running:
    """LiteLLM with a master key and no database."""
    program = environment("litellm") / "bin/litellm"
    (port,) = free_ports(1)
    config = folder / "litellm.yaml"
    config.write_text(
        f"""model_list:
  - model_name: {MODEL}
    litellm_params: {{model: hosted_vllm/{MODEL}, api_base: "{_url(engine_port)}/v1", api_key: none}}
litellm_settings: {{telemetry: false, num_retries: 0}}
general_settings: {{master_key: {KEY}}}
""",
        encoding="utf-8",
    )
    # Its price list is fetched from the network at every start unless the one of the package is asked for.
    env = {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "DATABASE_URL": None, "LITELLM_LOG": "ERROR"}
    command = [program, "--config", config, "--host", "127.0.0.1", "--port", str(port), "--num_workers", "1"]
    return Running(Process(command, folder / "litellm.log", env), _url(port), locked_version("litellm"))


@dataclass(frozen=True)
class Served:
    """An engine's model: its name, its longest prompt and answer together in tokens, the key the engine asks for."""

    name: str = MODEL
    context_length: int = 131_072
    api_key: str | None = None


AMPLE = 10**12
"""A limit that is checked and charged for every call, and refuses none."""


def portico_config(
    engine_url: str, ports: tuple[int, int], folder: Path, model: Served, volatile: str | None = None
) -> str:
    """Portico as a user has it: a key, usage, metrics, a line per request; one engine by its URL.

    With a `volatile` store also limits of every kind, counted there.
    """
    port, metrics_port = ports
    kinds = ("requests_per_minute", "requests_per_day", "tokens_per_minute", "tokens_per_day", "concurrent_requests")
    limits = ", ".join(f"{kind}: {AMPLE}" for kind in (*kinds, "spend_per_month")) if volatile else ""
    return f"""server: {{host: 127.0.0.1, port: {port}}}
metrics: {{host: 127.0.0.1, port: {metrics_port}}}
stores: {{durable: "sqlite:///{folder}/portico.db", volatile: "{volatile or "memory://"}"}}
limits: {{default: {{{limits}}}}}
auth: {{mode: keys, static_keys: [{{name: bench, key_sha256: {hashlib.sha256(KEY.encode()).hexdigest()}}}]}}
engines: {{engine: {{url: "{engine_url}/v1", api_key: {json.dumps(model.api_key)}, max_in_flight: 4096}}}}
models:
  {json.dumps(model.name)}:
    {{engines: [engine], context_length: {model.context_length}, price: {{input: 0.1, output: 0.4}}}}
logging: {{format: json, requests: true}}
"""


def portico_program() -> Path:
    """`portico` of this checkout. Raises StartError."""
    program = Path(sys.executable).parent / "portico"
    if not program.exists():
        raise StartError("bin/portico is missing beside this Python: run `make setup`")
    return program


def start_portico_at(
    engine_url: str, folder: Path, model: Served, volatile: str | None = None, *, source: bool = True
) -> Running:
    """`portico serve`, one worker, in front of any engine; its log goes to a file.

    As it runs from `source`, or with its hot path compiled, as in its image. Raises StartError.
    """
    command = [portico_program()] if source else [sys.executable, "-m", "server"]
    env = {} if source else environ(compiled())
    port, metrics_port = free_ports(2)
    config = folder / "portico.yaml"
    config.write_text(portico_config(engine_url, (port, metrics_port), folder, model, volatile), encoding="utf-8")
    process = Process([*command, "serve", "--config", config], folder / "portico.log", env)
    return Running(process, _url(port), version("portico"))


def start_portico(engine_port: int, folder: Path) -> Running:
    """As its image has it."""
    return start_portico_at(_url(engine_port), folder, Served(), source=False)


def start_portico_source(engine_port: int, folder: Path) -> Running:
    """The same as it runs from source, interpreted."""
    return start_portico_at(_url(engine_port), folder, Served())


def start_portico_limits(engine_port: int, folder: Path) -> Running:
    """The same with limits of every kind, counted in memory."""
    return start_portico_at(_url(engine_port), folder, Served(), "memory://", source=False)


def start_portico_redis(engine_port: int, folder: Path) -> Running:
    """The same with these limits in a redis-server, whose own CPU is not counted."""
    program = shutil.which("redis-server")
    if program is None:
        raise StartError("redis-server is not installed (Debian: apt-get install redis-server)")
    (port,) = free_ports(1)
    command = [program, "--bind", "127.0.0.1", "--port", str(port), "--save", "", "--dir", folder]
    redis = Process(command, folder / "redis.log")
    running = start_portico_at(_url(engine_port), folder, Served(), f"redis://127.0.0.1:{port}", source=False)
    return replace(running, beside=(redis,))


GATEWAYS: dict[str, Start] = {
    "nginx": start_nginx,
    "portico": start_portico,
    "portico-limits": start_portico_limits,
    "portico-redis": start_portico_redis,
    "portico-source": start_portico_source,
    "vllm-router": start_vllm_router,
    "sglang-router": start_sglang_router,
    "litellm": start_litellm,
}


def start_engine(folder: Path, chunks: int, interval_ms: float) -> Running:
    """The simulated engine, in a process of its own."""
    (port,) = free_ports(1)
    command = [sys.executable, "-m", "bench.sim_engine", "--port", str(port), "--model", MODEL]
    command += ["--chunks", str(chunks), "--interval-ms", str(interval_ms)]
    env = {"PYTHONPATH": str(Path(__file__).parent.parent)}
    return Running(Process(command, folder / "engine.log", env), _url(port), "")
