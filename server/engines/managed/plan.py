"""What will be run, as `choose` decides it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from server.config import Defaults
from server.engines.managed.recipe import EngineKind


@dataclass(frozen=True)
class Plan:
    kind: EngineKind  # cpu or cuda: which environment, and where the model runs
    preset: str | None  # None for a folder that is none of ours
    model: str | None  # what vLLM's --model gets; None: the demo model, which the installer expands
    model_id: str  # what clients call it
    description: str
    context_length: int
    max_num_seqs: int  # sequences the engine runs at once
    reason: str  # one sentence for the person who starts it
    aliases: tuple[str, ...] = ()
    defaults: Defaults = field(default_factory=Defaults)
    args: tuple[str, ...] = ()  # further flags for vLLM
    env: Mapping[str, str] = field(default_factory=dict[str, str])
    adapters: Mapping[str, str] = field(default_factory=dict[str, str])  # LoRA name -> folder
    port: int = 8100  # 0 takes a free one
    offline: bool = False  # the weights are on this machine: vLLM asks no model hub

    @property
    def demo(self) -> bool:
        return self.model is None
