"""gpt-oss in plain PyTorch, small: attention with sinks, YaRN, a mixture of experts with the clamped SwiGLU.

The parameters of all layers are stacked, so that the optimizer sees few large tensors; export takes them apart again.
Dimension 0 of the residual stream is a constant: the layers never write there, trained rows of the head ignore it, and
export gives every other row -200 there, so that a token without training is never sampled."""

import math
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

CONSTANT = 2.0


@dataclass(frozen=True)
class Shape:
    hidden: int = 128
    layers: int = 4  # sliding, full, sliding, full
    heads: int = 4
    kv_heads: int = 2
    head_dim: int = 64
    experts: int = 4
    active: int = 2
    intermediate: int = 128
    window: int = 128
    theta: float = 150_000.0
    epsilon: float = 1e-5

    def asdict(self) -> dict[str, Any]:
        return asdict(self)


class TinyGptOss(nn.Module):
    def __init__(self, rows: int, shape: Shape | None = None) -> None:
        super().__init__()
        self.shape = s = shape or Shape()
        q, kv = s.heads * s.head_dim, s.kv_heads * s.head_dim
        self.embedding = nn.Parameter(torch.randn(rows, s.hidden) * 0.5)
        self.head = nn.Parameter(torch.randn(rows, s.hidden) * 0.02)
        self.q, self.q_bias = _matrix(s.layers, s.hidden, q)
        self.k, self.k_bias = _matrix(s.layers, s.hidden, kv)
        self.v, self.v_bias = _matrix(s.layers, s.hidden, kv)
        self.o, self.o_bias = _matrix(s.layers, q, s.hidden)
        self.sinks = nn.Parameter(torch.zeros(s.layers, s.heads))
        self.router, self.router_bias = _matrix(s.layers, s.hidden, s.experts)
        self.gate_up, self.gate_up_bias = _matrix(s.layers * s.experts, s.hidden, 2 * s.intermediate)
        self.down, self.down_bias = _matrix(s.layers * s.experts, s.intermediate, s.hidden)
        self.attention_norm = nn.Parameter(torch.ones(s.layers, s.hidden))
        self.mlp_norm = nn.Parameter(torch.ones(s.layers, s.hidden))
        self.final_norm = nn.Parameter(torch.ones(s.hidden))
        self.hold_constant()

    @torch.no_grad()
    def hold_constant(self) -> None:
        """After every step: dimension 0 is not written, and read by nobody but the untrained rows of the head."""
        self.embedding[:, 0] = CONSTANT
        self.head[:, 0] = 0
        self.final_norm[0] = 1
        for written in (self.o, self.o_bias, self.down, self.down_bias):
            written[..., 0] = 0

    def matrices(self) -> list[nn.Parameter]:
        """What Muon trains."""
        return [self.q, self.k, self.v, self.o, self.gate_up, self.down]

    def forward(self, rows: Tensor) -> Tensor:
        """[batch, time] of rows -> normalised hidden states; `head` makes logits of those that matter."""
        s = self.shape
        cos, sin = rotary(s, rows.shape[1], rows.device)
        distance = torch.arange(rows.shape[1], device=rows.device)
        distance = distance[:, None] - distance[None, :]
        causal = distance >= 0
        near = causal & (distance < s.window)
        x = F.embedding(rows, self.embedding)
        experts = (s.layers, s.experts)
        gate_up, down = self.gate_up.unflatten(0, experts), self.down.unflatten(0, experts)
        gate_up_bias, down_bias = self.gate_up_bias.unflatten(0, experts), self.down_bias.unflatten(0, experts)
        stacked = (self.q, self.q_bias, self.k, self.k_bias, self.v, self.v_bias, self.o, self.o_bias, self.sinks, self.attention_norm,
                   self.mlp_norm, self.router, self.router_bias, gate_up, gate_up_bias, down, down_bias)  # fmt: skip
        for index, layer in enumerate(zip(*(tensor.unbind(0) for tensor in stacked), strict=True)):
            *attention, attention_norm, mlp_norm, router, router_bias, g, g_bias, d, d_bias = layer
            x = x + self._attention(
                rms_norm(x, attention_norm, s.epsilon), attention, cos, sin, near if index % 2 == 0 else causal
            )
            x = x + self._experts(rms_norm(x, mlp_norm, s.epsilon), router, router_bias, g, g_bias, d, d_bias)
        return rms_norm(x, self.final_norm, s.epsilon)

    def _attention(self, x: Tensor, weights: list[Tensor], cos: Tensor, sin: Tensor, mask: Tensor) -> Tensor:
        s = self.shape
        q_weight, q_bias, k_weight, k_bias, v_weight, v_bias, o_weight, o_bias, sinks = weights
        q = rotate((x @ q_weight + q_bias).unflatten(-1, (s.heads, s.head_dim)).transpose(1, 2), cos, sin)
        k = rotate((x @ k_weight + k_bias).unflatten(-1, (s.kv_heads, s.head_dim)).transpose(1, 2), cos, sin)
        v = (x @ v_weight + v_bias).unflatten(-1, (s.kv_heads, s.head_dim)).transpose(1, 2)
        group = s.heads // s.kv_heads
        k, v = k.repeat_interleave(group, 1), v.repeat_interleave(group, 1)
        scores = (q @ k.transpose(-1, -2)).float() * s.head_dim**-0.5
        scores = scores.masked_fill(~mask, -1e9)
        sink = sinks[None, :, None, None].float()
        top = torch.maximum(scores.amax(-1, keepdim=True), sink).detach()
        weight = (scores - top).exp()
        weight = weight / (weight.sum(-1, keepdim=True) + (sink - top).exp())
        return (weight.to(v.dtype) @ v).transpose(1, 2).flatten(-2) @ o_weight + o_bias

    def _experts(
        self,
        x: Tensor,
        router: Tensor,
        router_bias: Tensor,
        gate_up: Tensor,
        gate_up_bias: Tensor,
        down: Tensor,
        down_bias: Tensor,
    ) -> Tensor:
        """Every expert sees every token: at this size that is faster than sorting the tokens."""
        s = self.shape
        logits = (x @ router + router_bias).float()
        least = logits.topk(s.active, -1).values[..., -1:]
        share = logits.masked_fill(logits < least, -math.inf).softmax(-1).to(x.dtype)
        flat = x.flatten(0, 1)
        both = torch.einsum("td,edf->tef", flat, gate_up) + gate_up_bias
        gate, up = both[..., ::2].clamp(max=7.0), both[..., 1::2].clamp(-7.0, 7.0)
        inner = (up + 1) * gate * torch.sigmoid(1.702 * gate) * share.flatten(0, 1)[..., None]
        out = inner.flatten(1) @ down.flatten(0, 1).to(inner.dtype) + share.flatten(0, 1) @ down_bias.to(share.dtype)
        return out.view_as(x)


def _matrix(count: int, rows: int, columns: int) -> tuple[nn.Parameter, nn.Parameter]:
    """Stacked [count, in, out] weights and their biases."""
    return nn.Parameter(torch.randn(count, rows, columns) / math.sqrt(rows)), nn.Parameter(torch.zeros(count, columns))


def rms_norm(x: Tensor, weight: Tensor, epsilon: float) -> Tensor:
    return (x.float() * torch.rsqrt(x.float().pow(2).mean(-1, keepdim=True) + epsilon) * weight).to(x.dtype)


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    first, second = x.chunk(2, -1)
    return torch.cat((first * cos - second * sin, second * cos + first * sin), -1).to(x.dtype)


def rotary(s: Shape, length: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """YaRN as gpt-oss has it: factor 32, beta 32 and 1, no truncation, original length 4096."""
    factor, original = 32.0, 4096

    def dimension(rotations: float) -> float:
        return s.head_dim * math.log(original / (rotations * 2 * math.pi)) / (2 * math.log(s.theta))

    low, high = max(dimension(32.0), 0.0), min(dimension(1.0), s.head_dim - 1.0)
    half = torch.arange(s.head_dim // 2, dtype=torch.float32, device=device)
    frequency = s.theta ** (-2 * half / s.head_dim)
    kept = 1 - ((half - low) / (high - low)).clamp(0, 1)
    frequency = frequency / factor * (1 - kept) + frequency * kept
    angle = torch.arange(length, dtype=torch.float32, device=device)[:, None] * frequency
    scale = 0.1 * math.log(factor) + 1.0
    return angle.cos() * scale, angle.sin() * scale
