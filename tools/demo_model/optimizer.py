"""Muon for the matrices (Jordan et al., 2024: momentum, orthogonalised by Newton-Schulz), AdamW for the rest."""

import torch
from torch import Tensor, nn


def orthogonalised(gradient: Tensor, steps: int = 5) -> Tensor:
    """The nearest (semi-)orthogonal matrix, roughly, of each matrix in [count, rows, columns]."""
    a, b, c = 3.4445, -4.7750, 2.0315
    x = gradient.bfloat16()
    tall = x.shape[-2] > x.shape[-1]
    x = x.transpose(-1, -2) if tall else x
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    for _ in range(steps):
        square = x @ x.transpose(-1, -2)
        x = a * x + (b * square + c * square @ square) @ x
    return (x.transpose(-1, -2) if tall else x).to(gradient.dtype)


class Muon(torch.optim.Optimizer):
    def __init__(self, parameters: list[nn.Parameter], lr: float = 0.02, momentum: float = 0.95) -> None:
        super().__init__(parameters, {"lr": lr, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            for parameter in group["params"]:
                state = self.state[parameter]
                momentum = state.setdefault("momentum", torch.zeros_like(parameter))
                momentum.lerp_(parameter.grad, 1 - group["momentum"])
                update = orthogonalised(parameter.grad.lerp(momentum, group["momentum"]))
                rows, columns = parameter.shape[-2:]
                parameter.add_(update, alpha=-group["lr"] * max(1.0, columns / rows) ** 0.5)


def optimizers(matrices: list[nn.Parameter], others: list[nn.Parameter]) -> tuple[Muon, torch.optim.AdamW]:
    return Muon(matrices), torch.optim.AdamW(others, lr=4e-3, betas=(0.9, 0.98), weight_decay=0.0)


def rate(progress: float, step: int, warm_up: int = 60) -> float:
    """Share of the full rate: up during the first steps, flat to 40 %, then straight down."""
    down = 1.0 if progress < 0.4 else max(0.0, (1 - progress) / 0.6)
    return min(1.0, (step + 1) / warm_up) * down
