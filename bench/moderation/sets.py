"""Labelled texts: the own set, and public ones that the user has. Nothing is fetched.

| format | file | labels |
|---|---|---|
| jsonl | the own set: tests/data/moderation, see the README there | rules with spans, or a category |
| openai | openai/moderation-api-release, samples-1680.jsonl.gz, packed or not | 8 categories; one left out is unknown |
| xstest | xstest_prompts.csv | safe or unsafe, no category |
| cold | COLDataset's test.csv | offensive (hate) or not |
| davidson | t-davidson's labeled_data.csv | hate speech, offensive language (harassment), neither |
"""

from __future__ import annotations

import csv
import gzip
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any, NamedTuple, cast

ANY = "any"  # of all categories: whether a text is harmful at all
OPENAI_LABELS = {
    "S": "sexual",
    "H": "hate",
    "V": "violence",
    "HR": "harassment",
    "SH": "self-harm",
    "S3": "sexual/minors",
    "H2": "hate/threatening",
    "V2": "violence/graphic",
}


class SetError(Exception):
    """A file is not of the format that it should be; one line, without its texts."""


class Expected(NamedTuple):
    """`text[start:end]` is what the rule must find."""

    rule: str
    start: int
    end: int


class Text(NamedTuple):
    id: str
    text: str
    labels: Mapping[str, bool]  # by category, and ANY; what is not known is left out
    language: str = ""
    kind: str = ""  # the class: that of a rule, or what ordinary text it is
    policy: str = ""  # whose rules are expected; "all" for texts in which none may find anything
    expected: tuple[Expected, ...] = ()
    evasion: str | None = None


def read(path: Path, form: str) -> list[Text]:
    """Raises `SetError`."""
    opener = cast(Callable[..., IO[str]], gzip.open if path.suffix == ".gz" else open)
    try:
        with opener(path, "rt", encoding="utf-8-sig", newline="") as file:
            found = list(FORMATS[form](file))
    except OSError as error:
        raise SetError(f"{path}: cannot be read: {error.strerror or 'it is not packed'}") from None
    except (KeyError, ValueError, TypeError, AttributeError) as error:
        raise SetError(f"{path}: is not of the format {form} ({type(error).__name__})") from None
    if not found:
        raise SetError(f"{path}: has no texts")
    return found


def _objects(file: IO[str]) -> Iterator[dict[str, Any]]:
    for line in file:
        if line.strip():
            yield json.loads(line)


def _own(file: IO[str]) -> Iterator[Text]:
    """A first line with `about` alone is a heading."""
    for one in _objects(file):
        if "about" in one:
            continue
        expect: list[dict[str, Any]] = one["expect"]
        labels = {each["category"]: True for each in expect if "category" in each}
        spans = tuple(Expected(each["rule"], each["start"], each["end"]) for each in expect if "rule" in each)
        labels[ANY] = bool(expect)
        yield Text(one["id"], one["text"], labels, one["language"], one["class"], one["policy"], spans, one["evasion"])


def _openai(file: IO[str]) -> Iterator[Text]:
    for number, one in enumerate(_objects(file)):
        labels = {name: bool(one[key]) for key, name in OPENAI_LABELS.items() if key in one}
        yield Text(str(number), one["prompt"], {**labels, ANY: any(labels.values())})


def _xstest(file: IO[str]) -> Iterator[Text]:
    for row in csv.DictReader(file):
        unsafe = {"safe": False, "unsafe": True}[row["label"]]
        yield Text(row["id"], row["prompt"], {ANY: unsafe}, "en", row["type"])


def _cold(file: IO[str]) -> Iterator[Text]:
    for number, row in enumerate(csv.DictReader(file)):
        offensive = bool(int(row["label"]))
        yield Text(str(number), row["TEXT"], {ANY: offensive, "hate": offensive}, "zh", row["topic"])


def _davidson(file: IO[str]) -> Iterator[Text]:
    for number, row in enumerate(csv.DictReader(file)):
        kind = ("hate", "harassment", "neither")[int(row["class"])]
        labels = {"hate": kind == "hate", "harassment": kind == "harassment", ANY: kind != "neither"}
        yield Text(str(number), row["tweet"], labels, "en", kind)


FORMATS: dict[str, Callable[[IO[str]], Iterator[Text]]] = {
    "jsonl": _own,
    "openai": _openai,
    "xstest": _xstest,
    "cold": _cold,
    "davidson": _davidson,
}
