"""Write the compact file that ships: `python -m tools.demo_model.export CHECKPOINT server/engines/managed/demo/demo.safetensors`.

The file holds bfloat16 tensors under their Hugging Face names, except that embedding and head have only the trained rows
(`embed.rows`, `head.rows`; their ids in `tokens`) and the two shared rows (`embed.shared`). The config.json of the model
stands in the metadata. expand.py beside the shipped file makes the model folder from it."""

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from . import checkpoint
from .encoding import VOCABULARY_SIZE
from .model import Shape, TinyGptOss
from .vocabulary import UNKNOWN_ROWS

END_TOKENS = [200002, 199999, 200012]  # <|return|>, <|endoftext|>, <|call|>
PAD_TOKEN = 199999


def config(shape: Shape) -> dict[str, Any]:
    kinds = ("sliding_attention", "full_attention")
    return {
        "architectures": ["GptOssForCausalLM"],
        "model_type": "gpt_oss",
        "torch_dtype": "bfloat16",
        "vocab_size": VOCABULARY_SIZE,
        "hidden_size": shape.hidden,
        "num_hidden_layers": shape.layers,
        "layer_types": [kinds[index % 2] for index in range(shape.layers)],
        "sliding_window": shape.window,
        "num_attention_heads": shape.heads,
        "num_key_value_heads": shape.kv_heads,
        "head_dim": shape.head_dim,
        "num_local_experts": shape.experts,
        "num_experts_per_tok": shape.active,
        "experts_per_token": shape.active,
        "intermediate_size": shape.intermediate,
        "swiglu_limit": 7.0,
        "hidden_act": "silu",
        "attention_bias": True,
        "attention_dropout": 0.0,
        "rms_norm_eps": shape.epsilon,
        "rope_theta": shape.theta,
        "rope_scaling": {
            "rope_type": "yarn",
            "factor": 32.0,
            "beta_fast": 32.0,
            "beta_slow": 1.0,
            "truncate": False,
            "original_max_position_embeddings": 4096,
        },
        "initial_context_length": 4096,
        "max_position_embeddings": 131072,
        "tie_word_embeddings": False,
        "use_cache": True,
        "eos_token_id": END_TOKENS,
        "pad_token_id": PAD_TOKEN,
    }


def tensors(model: TinyGptOss, tokens: list[int]) -> Iterator[tuple[str, Tensor]]:
    shape = model.shape
    yield "tokens", torch.tensor(tokens, dtype=torch.int32)
    yield "embed.shared", model.embedding[:UNKNOWN_ROWS]
    yield "embed.rows", model.embedding[UNKNOWN_ROWS:]
    yield "head.rows", model.head[UNKNOWN_ROWS:]
    yield "model.norm.weight", model.final_norm
    for index in range(shape.layers):
        for name, tensor in layer(model, index):
            yield f"model.layers.{index}.{name}", tensor


def layer(model: TinyGptOss, index: int) -> Iterator[tuple[str, Tensor]]:
    """Hugging Face keeps linear weights [out, in], and the experts' [in, out] as they are here."""
    experts = slice(index * model.shape.experts, (index + 1) * model.shape.experts)
    for name in "qkvo":
        yield f"self_attn.{name}_proj.weight", model.get_parameter(name)[index].T
        yield f"self_attn.{name}_proj.bias", model.get_parameter(f"{name}_bias")[index]
    yield "self_attn.sinks", model.sinks[index]
    yield "mlp.router.weight", model.router[index].T
    yield "mlp.router.bias", model.router_bias[index]
    yield "mlp.experts.gate_up_proj", model.gate_up[experts]
    yield "mlp.experts.gate_up_proj_bias", model.gate_up_bias[experts]
    yield "mlp.experts.down_proj", model.down[experts]
    yield "mlp.experts.down_proj_bias", model.down_bias[experts]
    yield "input_layernorm.weight", model.attention_norm[index]
    yield "post_attention_layernorm.weight", model.mlp_norm[index]


@torch.no_grad()
def export(source: Path, target: Path) -> None:
    model, vocabulary, steps = checkpoint.load(source)
    found = {
        name: (tensor if name == "tokens" else tensor.bfloat16()).contiguous().clone()
        for name, tensor in tensors(model, vocabulary.tokens)
    }
    save_file(found, target, metadata={"config": json.dumps(config(model.shape)), "steps": str(steps)})
    print(f"{target}: {target.stat().st_size / 1e6:.1f} MB, {len(vocabulary.tokens)} tokens, {steps} steps")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tools.demo_model.export", description=__doc__)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("target", type=Path)
    options = parser.parse_args()
    export(options.checkpoint, options.target)


if __name__ == "__main__":
    main()
