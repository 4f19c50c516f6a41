"""openai/privacy-filter: tags each token of a text with one of eight kinds of private data, or none.

Served by vLLM with `--runner pooling`. The wire, tried on vLLM 0.32 with a small model of this architecture and random
weights, not with the model's own:

- POST /pooling, beside /v1 and not below it: `{"model", "task": "token_classify", "input": [token ids],
  "use_activation": true}`.
- The answer is `{"data": [{"index": 0, "object": "pooling", "data": [[33 floats], ...]}], ...}`: for each token of the
  input the softmax of its tags, in the order of `TAGS` (transformers' configuration of the model has the same order).

What is assumed and would show as nonsense, if wrong:

- Tokens are those of o200k_base, which gpt-oss has too, and nothing is put before or after them (the model's vocabulary
  has 200,064 rows, its padding token is o200k's end of text, and it has no token for a beginning). We tokenise and send
  numbers: so it is known where in the text each token is, and what looks like a control token is none (vLLM takes it
  for one).
- vLLM picks no tags (it has no Viterbi): `bioes.py` does, with the biases of the published calibration, all zero.

Costs: 33 numbers a token come back, about 700 bytes as JSON, so windows are short.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import NamedTuple

import msgspec

from server.moderation.judges.adapter import digest
from server.moderation.judges.bioes import UNBIASED, Biases, best_path, spans
from server.moderation.judges.categories import PRIVACY_FILTER, scores
from server.moderation.judges.neutral import encodable
from server.moderation.judges.verdicts import SAFE, MalformedAnswer, Span, Verdict
from server.moderation.judges.windows import Windows

LABELS = tuple(PRIVACY_FILTER)
TAGS = ("O", *(f"{kind}-{label}" for label in LABELS for kind in "BIES"))
WINDOWS = Windows(chars=2_000, overlap=400, most=32)  # 6 ms of the event loop for each answer
PRIVATE_DATA = "private_data"
SUM_WITHIN = 0.02  # how far probabilities of half precision may be from 1 in sum
LEAST = 1e-9  # what a probability counts for at least: a tag that is impossible alone may be right among others


class Token(NamedTuple):
    id: int
    text: bytes  # UTF-8, though it may begin or end within a character


Tokenizer = Callable[[str], Sequence[Token]]


class _Data(msgspec.Struct):
    data: list[list[float]]
    index: int = 0


class _Answer(msgspec.Struct):
    data: list[_Data]


_DECODER = msgspec.json.Decoder(_Answer)


@dataclass(frozen=True)
class PrivacyFilter:
    """`labels` are those that count; `least_score` is the mean probability that a span's tags must have."""

    model: str
    tokens: Tokenizer
    labels: frozenset[str] = frozenset(LABELS)
    least_score: float = 0.0
    biases: Biases = UNBIASED
    windows: Windows = WINDOWS
    path: str = "/pooling"
    at_root: bool = True

    @property
    def policy_hash(self) -> str:
        return digest("privacy-filter", sorted(self.labels), self.least_score, self.biases, self.windows)

    def question(self, text: str, nonce: str) -> bytes:
        body = {
            "model": self.model,
            "task": "token_classify",
            "input": [token.id for token in self.tokens(encodable(text))],
            "use_activation": True,
        }
        return msgspec.json.encode(body)

    def verdict(self, answer: bytes, text: str) -> Verdict:
        tokens = [token.text for token in self.tokens(encodable(text))]
        rows = _rows(answer, len(tokens))
        found = tuple(self._spans(rows, tokens, text))
        categories = scores((span.label, span.score) for span in found)
        return Verdict(bool(found), categories, PRIVATE_DATA if found else SAFE, len(text), len(text), found)

    def _spans(self, rows: list[list[float]], tokens: list[bytes], text: str) -> list[Span]:
        path = best_path([[math.log(max(one, LEAST)) for one in row] for row in rows], self.biases)
        places = offsets(tokens)
        found: list[Span] = []
        for label, first, last in spans(path):
            score = min(1.0, fmean(rows[at][path[at]] for at in range(first, last + 1)))
            start, end = _trimmed(text, places[first][0], places[last][1])
            if LABELS[label] in self.labels and score >= self.least_score and start < end:
                found.append(Span(PRIVACY_FILTER[LABELS[label]], start, end, score))
        return found


def _rows(answer: bytes, tokens: int) -> list[list[float]]:
    """The probabilities of each token's tags. Raises `MalformedAnswer`."""
    try:
        data = _DECODER.decode(answer).data
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise MalformedAnswer("not an answer of /pooling") from None
    if len(data) != 1 or len(data[0].data) != tokens:
        raise MalformedAnswer("not a row for each token")
    for row in data[0].data:
        if len(row) != len(TAGS) or min(row) < 0 or not abs(sum(row) - 1) <= SUM_WITHIN:  # not: NaN too
            raise MalformedAnswer("not probabilities of the tags")
    return data[0].data


def offsets(tokens: Sequence[bytes]) -> list[tuple[int, int]]:
    """From which character to before which each token stands; one within which it begins or ends is its own too."""
    places: list[tuple[int, int]] = []
    seen = 0  # characters that have begun
    for token in tokens:
        start = seen - 1 if token and token[0] & 0xC0 == 0x80 else seen
        seen += sum(byte & 0xC0 != 0x80 for byte in token)
        places.append((start, seen))
    return places


def _trimmed(text: str, start: int, end: int) -> tuple[int, int]:
    """Tokens bring the space before them along."""
    part = text[start:end]
    return start + len(part) - len(part.lstrip()), end - len(part) + len(part.rstrip())
