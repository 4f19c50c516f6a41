"""Make the demo model's folder from the compact file beside this script: `ENGINE_PYTHON expand.py --out DIR`.

Runs in the engine's environment, alone: it imports nothing of Portico, only what vLLM brings along. The folder appears at
once and whole (written beside its place, then renamed). DIR/VERSION holds the SHA-256 of the compact file, so that the
caller can tell whether a folder is current; the tokenizer comes out of openai_harmony's wheel, so nothing is downloaded."""

import argparse
import functools
import hashlib
import json
import shutil
import tempfile
import time
from pathlib import Path

import torch
from openai_harmony import HarmonyEncodingName, load_harmony_encoding
from safetensors import safe_open
from safetensors.torch import save_file
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, processors

COMPACT = Path(__file__).with_name("demo.safetensors")
ORDINARY_TOKENS = 199_998  # ids below are text, those above special or reserved
VOCABULARY_SIZE = 201_088
UNTRAINED = -200.0  # the head's weight on the constant dimension: a token without training is never sampled
CJK_LEAD_BYTES = range(0xE3, 0xEA)  # UTF-8 lead bytes of U+3000 to U+9FFF
O200K_PATTERN = "|".join(
    (
        r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
        r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
        r"\p{N}{1,3}",
        r" ?[^\s\p{L}\p{N}]+[\r\n/]*",
        r"\s*[\r\n]+",
        r"\s+(?!\S)",
        r"\s+",
    )
)


def vocabulary() -> list[bytes]:
    """The bytes of every ordinary token, by id."""
    decode = load_harmony_encoding(HarmonyEncodingName.HARMONY_GPT_OSS)._inner.decode_bytes
    return [bytes(decode([token])) for token in range(ORDINARY_TOKENS)]


def weights(tokens: list[bytes], compact: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """All tensors under their Hugging Face names, embedding and head filled up to the whole vocabulary."""
    trained = compact.pop("tokens").long()
    shared, embed_rows, head_rows = (compact.pop(name) for name in ("embed.shared", "embed.rows", "head.rows"))
    starts = (text.lstrip(b" ")[:1] for text in tokens)
    chinese = torch.zeros(VOCABULARY_SIZE, dtype=torch.long)
    chinese[: len(tokens)] = torch.tensor([start != b"" and start[0] in CJK_LEAD_BYTES for start in starts])
    embedding = shared[chinese]
    embedding[trained] = embed_rows
    head = torch.zeros_like(embedding)
    head[:, 0] = UNTRAINED
    head[trained] = head_rows
    return compact | {"model.embed_tokens.weight": embedding, "lm_head.weight": head}


def byte_letters() -> list[str]:
    """GPT-2's printable stand-in for each byte, which the tokenizer file is written in."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in printable]
    letters = {byte: chr(byte) for byte in printable} | {byte: chr(256 + index) for index, byte in enumerate(others)}
    return [letters[byte] for byte in range(256)]


def merges(ranks: dict[bytes, int]) -> list[tuple[bytes, bytes]]:
    """Byte-pair merges in order: a token can be made from any two tokens that it splits into."""
    found: list[tuple[int, int, int, bytes, bytes]] = []
    for token, rank in ranks.items():
        for cut in range(1, len(token)):
            left, right = token[:cut], token[cut:]
            if left in ranks and right in ranks:
                found.append((rank, ranks[left], ranks[right], left, right))
    return [(left, right) for _, _, _, left, right in sorted(found)]


def tokenizer(tokens: list[bytes]) -> Tokenizer:
    letters = byte_letters()

    @functools.cache
    def spelled(text: bytes) -> str:
        return "".join([letters[byte] for byte in text])

    ranks = {text: rank for rank, text in enumerate(tokens)}
    pairs = [(spelled(left), spelled(right)) for left, right in merges(ranks)]
    made = Tokenizer(models.BPE({spelled(text): rank for text, rank in ranks.items()}, pairs, fuse_unk=False))
    split = pre_tokenizers.Split(Regex(O200K_PATTERN), behavior="isolated", invert=False)
    made.pre_tokenizer = pre_tokenizers.Sequence(
        [split, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    made.decoder = decoders.ByteLevel()
    made.post_processor = processors.ByteLevel(trim_offsets=False)
    made.add_special_tokens([AddedToken(name, normalized=False, special=True) for name in special_tokens()])
    return made


def special_tokens() -> list[str]:
    """Names of the ids from ORDINARY_TOKENS on, in order and without a gap."""
    harmony = load_harmony_encoding(HarmonyEncodingName.HARMONY_GPT_OSS)
    return sorted(harmony.special_tokens_set, key=lambda name: harmony.encode(name, allowed_special="all")[0])[
        : VOCABULARY_SIZE - ORDINARY_TOKENS
    ]


def expand(compact_file: Path, out: Path) -> str:
    """Write the folder; what stood there before is replaced. Returns its version."""
    version = hashlib.sha256(compact_file.read_bytes()).hexdigest()
    with safe_open(compact_file, "pt") as compact:
        config = json.loads(compact.metadata()["config"])
        tensors = {name: compact.get_tensor(name) for name in compact.keys()}  # noqa: SIM118  # not a dict
    tokens = vocabulary()
    out.parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=f".{out.name}-", dir=out.parent))
    try:
        save_file(weights(tokens, tensors), folder / "model.safetensors", metadata={"format": "pt"})
        tokenizer(tokens).save(str(folder / "tokenizer.json"), pretty=False)
        write_json(folder / "config.json", config)
        write_json(
            folder / "generation_config.json",
            {"do_sample": True, "eos_token_id": config["eos_token_id"], "pad_token_id": config["pad_token_id"]},
        )
        write_json(
            folder / "tokenizer_config.json",
            {
                "tokenizer_class": "PreTrainedTokenizerFast",
                "bos_token": "<|startoftext|>",
                "eos_token": "<|return|>",
                "pad_token": "<|endoftext|>",
                "clean_up_tokenization_spaces": False,
                "model_input_names": ["input_ids", "attention_mask"],
                "model_max_length": config["max_position_embeddings"],
            },
        )
        (folder / "VERSION").write_text(version + "\n")
        (folder / "model.safetensors").chmod(0o644)  # made private, as is the folder: the engine may be another user
        folder.chmod(0o755)
        replace(folder, out)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return version


def write_json(path: Path, value: object) -> None:
    path.write_text(json.dumps(value, indent=2) + "\n")


def replace(folder: Path, out: Path) -> None:
    """A folder cannot be renamed onto a full one: the old one steps aside first."""
    if out.exists():
        old = Path(tempfile.mkdtemp(prefix=f".{out.name}-old-", dir=out.parent))
        out.rename(old / out.name)
        shutil.rmtree(old, ignore_errors=True)
    folder.rename(out)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="the model folder to write")
    parser.add_argument("--compact", type=Path, default=COMPACT, help=argparse.SUPPRESS)
    options = parser.parse_args()
    began = time.monotonic()
    version = expand(options.compact, options.out)
    print(f"demo model {version[:12]} in {options.out} ({time.monotonic() - began:.1f} s)")


if __name__ == "__main__":
    main()
