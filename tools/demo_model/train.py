"""Train the demo model: `python -m tools.demo_model.train --minutes 60 --out var/demo-model`.

Writes OUT/checkpoint.pt and OUT/log.csv. With `--resume OUT/checkpoint.pt` it goes on from there (with a fresh schedule,
so that a changed corpus can be learned), else it starts anew."""

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from . import checkpoint
from .batches import batches
from .corpus.mix import conversations
from .model import TinyGptOss
from .optimizer import optimizers, rate
from .rendering import Sample, render
from .vocabulary import Vocabulary, frequent_tokens

FULL_CORPUS = 40_000


def arguments(given: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tools.demo_model.train", description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder for checkpoint.pt and log.csv")
    length = parser.add_mutually_exclusive_group(required=True)
    length.add_argument("--steps", type=int, help="stop after so many steps")
    length.add_argument("--minutes", type=float, help="stop after so many minutes of training")
    parser.add_argument("--resume", type=Path, help="a checkpoint to go on from")
    parser.add_argument("--conversations", type=int, default=FULL_CORPUS, help="size of the corpus")
    parser.add_argument("--tokens", type=int, default=4096, help="tokens in a batch")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--speed", type=float, default=1.0, help="factor on the learning rates")
    parser.add_argument("--no-compile", action="store_true", help="for short runs: compiling takes a minute")
    return parser.parse_args(given)


def prepare(options: argparse.Namespace) -> tuple[TinyGptOss, Vocabulary, list[Sample], int]:
    began = time.monotonic()
    samples = [render(found) for found in conversations(options.conversations, options.seed)]
    tokens = frequent_tokens(samples, least=max(2, options.conversations // 2000))
    if options.resume:
        model, vocabulary, steps = checkpoint.load(options.resume)
        model, vocabulary = checkpoint.widened(model, vocabulary, tokens)
    else:
        vocabulary, steps = Vocabulary(tokens), 0
        model = TinyGptOss(len(vocabulary))
    count = sum(len(sample.tokens) for sample in samples)
    report(
        f"{len(samples)} conversations, {count} tokens, {len(vocabulary)} rows, ready in {time.monotonic() - began:.0f} s"
    )
    return model, vocabulary, samples, steps


def loss_of(model: TinyGptOss, hidden: Tensor, targets: Tensor) -> Tensor:
    chosen = targets >= 0
    logits = hidden[chosen] @ model.head.to(hidden.dtype).T
    return F.cross_entropy(logits.float(), targets[chosen])


def train(options: argparse.Namespace) -> None:
    torch.manual_seed(options.seed)
    model, vocabulary, samples, before = prepare(options)
    matrices = model.matrices()
    others = [parameter for parameter in model.parameters() if all(parameter is not matrix for matrix in matrices)]
    muon, adam = optimizers(matrices, others)
    forward: Callable[[Tensor], Tensor] = model if options.no_compile else torch.compile(model, dynamic=True)
    log = options.out / "log.csv"
    log.parent.mkdir(parents=True, exist_ok=True)
    if not log.exists():
        log.write_text("step,seconds,loss\n")
    began, saved, recent = time.monotonic(), time.monotonic(), []
    for step, (rows, targets) in enumerate(batches(samples, vocabulary, options.tokens, options.seed)):
        elapsed = time.monotonic() - began
        progress = step / options.steps if options.steps else elapsed / (60 * options.minutes)
        if progress >= 1:
            break
        factor = rate(progress, step) * options.speed
        for optimizer, full in ((muon, 0.02), (adam, 4e-3)):
            optimizer.param_groups[0]["lr"] = full * factor
        with torch.autocast("cpu", torch.bfloat16):
            loss = loss_of(model, forward(rows), targets)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(others, 1.0)
        for optimizer in (muon, adam):
            optimizer.step()
        model.zero_grad()
        model.hold_constant()
        recent.append(loss.item())
        if (step + 1) % (1 if options.steps and options.steps < 50 else 50) == 0:
            mean = sum(recent) / len(recent)
            recent.clear()
            report(f"step {before + step + 1}  {elapsed:.0f} s  {progress:.0%}  loss {mean:.4f}")
            with log.open("a") as file:
                file.write(f"{before + step + 1},{elapsed:.0f},{mean:.5f}\n")
        if time.monotonic() - saved > 120:
            checkpoint.save(options.out / "checkpoint.pt", model, vocabulary, before + step + 1)
            saved = time.monotonic()
    checkpoint.save(options.out / "checkpoint.pt", model, vocabulary, before + step)
    report(f"saved {options.out / 'checkpoint.pt'}")


def report(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    train(arguments())
