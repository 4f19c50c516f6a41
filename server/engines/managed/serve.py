"""What `portico serve` and `portico engine` do before an engine runs: look, choose, say so, install."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from server.config import Managed, shipped
from server.engines.managed.choose import choose
from server.engines.managed.errors import EngineSetupError
from server.engines.managed.folder import looks_like_path, read_folder
from server.engines.managed.hardware import Hardware, look
from server.engines.managed.install import Installed, find, install
from server.engines.managed.plan import Plan
from server.engines.managed.presets import load_presets


@dataclass(frozen=True)
class Prepared:
    """An engine that is chosen and installed, for `EngineSupervisor`."""

    plan: Plan
    installed: Installed
    log_path: Path
    record_path: Path  # for `portico engine status`


def decide(managed: Managed, hardware: Hardware) -> Plan:
    """What would run on this machine. Raises `EngineSetupError`."""
    _check_adapters(managed)
    presets = load_presets(shipped("config/models"))
    folder = None
    if managed.model not in presets and looks_like_path(managed.model):
        folder = read_folder(managed.model)
    return choose(managed, hardware, presets, folder)


def prepare(managed: Managed, home: Path, console: Console) -> Prepared:
    """Choose the engine, print what and why, install what is missing with progress. Raises `EngineSetupError`."""
    plan = decide(managed, look(home))
    console.print(plan.reason, markup=False, highlight=False, soft_wrap=True)
    installed = find(plan.kind, home, demo=plan.demo) or install(plan.kind, home, console, demo=plan.demo)
    return Prepared(plan, installed, home / "logs" / "engine.log", home / "engine.json")


def _check_adapters(managed: Managed) -> None:
    for name, path in managed.lora_adapters.items():
        if not (path / "adapter_config.json").is_file():
            raise EngineSetupError(
                f"engines.local.managed.lora_adapters.{name}: {path} has no adapter_config.json: name a folder with a "
                "LoRA adapter in PEFT's form."
            )
