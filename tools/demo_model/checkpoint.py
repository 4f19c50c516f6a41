"""What training leaves behind, and takes up again: parameters, shape and the tokens that have rows."""

from pathlib import Path

import torch

from .model import Shape, TinyGptOss
from .vocabulary import UNKNOWN_ROWS, Vocabulary


def save(path: Path, model: TinyGptOss, vocabulary: Vocabulary, steps: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    torch.save(
        {"shape": model.shape.asdict(), "tokens": vocabulary.tokens, "steps": steps, "parameters": model.state_dict()},
        part,
    )
    part.replace(path)


def load(path: Path) -> tuple[TinyGptOss, Vocabulary, int]:
    found = torch.load(path, weights_only=True)
    vocabulary = Vocabulary(found["tokens"])
    model = TinyGptOss(len(vocabulary), Shape(**found["shape"]))
    model.load_state_dict(found["parameters"])
    return model, vocabulary, found["steps"]


@torch.no_grad()
def widened(model: TinyGptOss, vocabulary: Vocabulary, tokens: list[int]) -> tuple[TinyGptOss, Vocabulary]:
    """The same model with rows for further tokens; a new row starts near the shared one that it had so far."""
    wider = Vocabulary(sorted({*vocabulary.tokens, *tokens}))
    old = torch.from_numpy(vocabulary.rows(wider.tokens))
    rows = torch.cat((torch.arange(UNKNOWN_ROWS), old))
    result = TinyGptOss(len(wider), model.shape)
    result.load_state_dict(model.state_dict() | {"embedding": model.embedding[rows], "head": model.head[rows]})
    fresh = torch.cat((torch.zeros(UNKNOWN_ROWS, dtype=torch.bool), old < UNKNOWN_ROWS))
    result.embedding[fresh] += 0.3 * torch.randn_like(result.embedding[fresh])
    result.hold_constant()
    return result, wider
