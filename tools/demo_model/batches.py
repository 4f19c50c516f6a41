"""Samples as padded batches of about the same length each, in an order that a seed fixes."""

from collections.abc import Iterator
from random import Random

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .rendering import Sample
from .vocabulary import Vocabulary

Item = tuple[NDArray[np.int64], NDArray[np.bool_]]
LONGEST = 1024
PAD = 16  # lengths are rounded up, so that a compiled model meets few shapes


def batches(samples: list[Sample], vocabulary: Vocabulary, size: int, seed: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Endless (rows, targets) of about `size` tokens; a target of -1 is not learned."""
    rng = Random(seed)
    usable = [
        (vocabulary.rows(sample.tokens), np.asarray(sample.learned))
        for sample in samples
        if len(sample.tokens) <= LONGEST
    ]
    while True:
        # noise in the key: the neighbours of a sample differ from epoch to epoch
        order = sorted(range(len(usable)), key=lambda index: len(usable[index][0]) + rng.random() * 12)
        groups = list(_groups([usable[index] for index in order], size))
        rng.shuffle(groups)
        for group in groups:
            yield _padded(group)


def _groups(ordered: list[Item], size: int) -> Iterator[list[Item]]:
    group: list[Item] = []
    for item in ordered:
        if group and (len(group) + 1) * len(item[0]) > size:
            yield group
            group = []
        group.append(item)
    yield group


def _padded(group: list[Item]) -> tuple[Tensor, Tensor]:
    length = -(-max(len(rows) for rows, _ in group) // PAD) * PAD
    inputs = np.zeros((len(group), length), dtype=np.int64)
    targets = np.full((len(group), length), -1, dtype=np.int64)
    for index, (rows, learned) in enumerate(group):
        inputs[index, : len(rows)] = rows
        targets[index, : len(rows) - 1] = np.where(learned[1:], rows[1:], -1)
    return torch.from_numpy(inputs), torch.from_numpy(targets)
