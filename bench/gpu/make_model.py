"""Writes a model folder without weights: gpt-oss's real configuration and tokenizer, for `--load-format dummy`.

    ENGINE_PYTHON make_model.py FOLDER [--layers 24] [--hidden 2880] ...

Runs in the engine's own environment (transformers, tokenizers, openai_harmony) and imports nothing of ours. The
vocabulary comes out of the wheel of `oss-harmony`; with the older `openai-harmony` it is downloaded.
Shapes: openai/gpt-oss, gpt_oss/torch/model.py.
"""

from __future__ import annotations

import argparse
import base64
import json
from pathlib import Path
from typing import Any

from openai_harmony import load_harmony_encoding  # pyright: ignore
from tokenizers import AddedToken  # pyright: ignore
from transformers import PreTrainedTokenizerFast  # pyright: ignore
from transformers.convert_slow_tokenizer import TikTokenConverter  # pyright: ignore

ORDINARY = 199_998
VOCABULARY = 201_088
_TAIL = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
O200K = "|".join([
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+" + _TAIL,
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*" + _TAIL,
    r"\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+",
])  # fmt: skip


def config(args: argparse.Namespace) -> dict[str, Any]:
    """config.json as the real model has it, the sizes from the command line."""
    kinds = ["sliding_attention" if i % 2 == 0 else "full_attention" for i in range(args.layers)]
    made: dict[str, Any] = {
        "architectures": ["GptOssForCausalLM"],
        "model_type": "gpt_oss",
        "attention_bias": True,
        "attention_dropout": 0.0,
        "dtype": "bfloat16",
        "eos_token_id": 200002,
        "pad_token_id": 199999,
        "experts_per_token": args.experts_per_token,
        "num_experts_per_tok": args.experts_per_token,
        "num_local_experts": args.experts,
        "head_dim": 64,
        "num_attention_heads": args.heads,
        "num_key_value_heads": args.kv_heads,
        "hidden_act": "silu",
        "hidden_size": args.hidden,
        "intermediate_size": args.hidden,
        "num_hidden_layers": args.layers,
        "layer_types": kinds,
        "sliding_window": 128,
        "initial_context_length": 4096,
        "max_position_embeddings": 131072,
        "rope_theta": 150000,
        "rope_scaling": {
            "rope_type": "yarn",
            "factor": 32.0,
            "beta_fast": 32.0,
            "beta_slow": 1.0,
            "original_max_position_embeddings": 4096,
            "truncate": False,
        },
        "rms_norm_eps": 1e-05,
        "router_aux_loss_coef": 0.9,
        "output_router_logits": False,
        "swiglu_limit": 7.0,
        "initializer_range": 0.02,
        "tie_word_embeddings": False,
        "use_cache": True,
        "vocab_size": VOCABULARY,
    }
    if not args.unquantized:
        kept = ["model.layers.*.self_attn", "model.layers.*.mlp.router", "model.embed_tokens", "lm_head"]
        made["quantization_config"] = {"quant_method": "mxfp4", "modules_to_not_convert": kept}
    return made


def write_tokenizer(folder: Path) -> None:
    """tokenizer.json and its companions, and o200k_base.tiktoken for an engine that cannot download it."""
    inner: Any = load_harmony_encoding("HarmonyGptOss")._inner  # the only way to a token's bytes
    pieces = [bytes(inner.decode_bytes([token])) for token in range(VOCABULARY)]
    lines = (b"%b %d" % (base64.b64encode(piece), rank) for rank, piece in enumerate(pieces[:ORDINARY]))
    ranks = folder / "o200k_base.tiktoken"
    ranks.write_bytes(b"\n".join(lines) + b"\n")
    tokenizer = TikTokenConverter(vocab_file=str(ranks), pattern=O200K).converted()
    special = [piece.decode() for piece in pieces[ORDINARY:]]
    tokenizer.add_special_tokens([AddedToken(text, normalized=False, special=True) for text in special])
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|return|>", pad_token="<|endoftext|>")
    fast.chat_template = "{% for m in messages %}<|start|>{{ m.role }}<|message|>{{ m.content }}<|end|>{% endfor %}"
    fast.save_pretrained(folder)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--layers", type=int, default=24)
    parser.add_argument("--hidden", type=int, default=2880)
    parser.add_argument("--heads", type=int, default=64)
    parser.add_argument("--kv-heads", type=int, default=8)
    parser.add_argument("--experts", type=int, default=32)
    parser.add_argument("--experts-per-token", type=int, default=4)
    parser.add_argument("--unquantized", action="store_true", help="bf16 experts: a CPU has no MXFP4 kernels")
    args = parser.parse_args()
    args.folder.mkdir(parents=True, exist_ok=True)
    write_tokenizer(args.folder)
    generation = {"do_sample": True, "eos_token_id": [200002, 199999, 200012], "pad_token_id": 199999}
    (args.folder / "generation_config.json").write_text(json.dumps(generation, indent=1), encoding="utf-8")
    (args.folder / "config.json").write_text(json.dumps(config(args), indent=1), encoding="utf-8")  # last: it is whole


if __name__ == "__main__":
    main()
