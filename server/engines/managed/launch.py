"""The engine's command line and environment. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from server.engines.managed.install import Installed
from server.engines.managed.plan import Plan

HOST = "127.0.0.1"
_KEPT_OUT = ("PORTICO_", "PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "VLLM_API_KEY")


def model_argument(plan: Plan, installed: Installed) -> str:
    """What --model gets: a folder or a Hugging Face id."""
    if plan.model is not None:
        return plan.model
    if installed.demo_model is None:
        raise ValueError("the plan is for the demo model and it was not installed")
    return str(installed.demo_model)


def command(plan: Plan, installed: Installed, port: int) -> list[str]:
    """vLLM's command line. What Portico relies on comes last, where no configured argument overrides it."""
    adapters = [f"{name}={path}" for name, path in plan.adapters.items()]
    return [
        str(installed.python),
        "-m",
        "vllm.entrypoints.openai.api_server",  # `vllm serve` of the CPU wheel looks for a distribution called vllm
        f"--max-num-seqs={plan.max_num_seqs}",
        "--disable-uvicorn-access-log",  # the gateway writes one line per request
        *(_whole_prompts(plan) if plan.kind == "cpu" else []),
        *plan.args,
        *(["--enable-lora", "--lora-modules", *adapters] if adapters else []),
        "--scheduling-policy=priority",  # or it refuses the priority that each call brings (engines/requests.py)
        "--enable-prompt-tokens-details",  # the gateway's usage tells cached tokens
        f"--max-model-len={plan.context_length}",
        f"--model={model_argument(plan, installed)}",
        f"--served-model-name={plan.model_id}",
        f"--host={HOST}",
        f"--port={port}",
    ]


def _whole_prompts(plan: Plan) -> list[str]:
    """A prompt that is computed in parts ends vLLM 0.32 on CPU if its request has a seed ("CPU Generator does not use
    offset"), and with it every call that runs. So no prompt is taken in parts."""
    return ["--no-enable-chunked-prefill", f"--max-num-batched-tokens={plan.context_length}"]


def environment(plan: Plan, api_key: str, environ: Mapping[str, str]) -> dict[str, str]:
    """vLLM's environment. The key travels here, where other users of the machine cannot read it."""
    kept = {name: value for name, value in environ.items() if not name.startswith(_KEPT_OUT)}
    fixed = {"VLLM_NO_USAGE_STATS": "1", "DO_NOT_TRACK": "1", "PYTHONUNBUFFERED": "1", "VLLM_API_KEY": api_key}
    if plan.offline:
        fixed |= {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1"}
    return {**plan.env, **kept, **fixed}  # what a person exports wins over the preset
