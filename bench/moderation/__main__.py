"""`python -m bench.moderation`: what policies find, and what they find that is not there.

Over the own set in tests/data/moderation, or a public one that the user has: nothing is fetched. Precision, recall and
false positives per category and tier, each with a 95 % interval: a figure without one says little over a few hundred texts.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path

from bench.environments import say
from bench.moderation.report import Said, evasions, harmless, quality
from bench.moderation.rules import Rules
from bench.moderation.sets import FORMATS, SetError, Text, read
from bench.results import RESULTS, write_section
from server.config import ConfigError

ROOT = Path(__file__).parent.parent.parent
OWN = ROOT / "tests" / "data" / "moderation"
SHIPPED = tuple(ROOT / "config" / "policies" / f"{name}.yaml" for name in ("default", "strict", "privacy"))
HALVES = {"tuned": "the half that rules may be changed for", "held_out": "the half that no rule was changed for"}


def found_by(rules: Rules, texts: list[Text]) -> Said:
    return {one.id: {finding.category for finding in rules.find(one.text)} for one in texts}


def verdicts(path: Path) -> Said:
    """What a judge said: lines of JSON with `id` and `categories`, a list, or scores from 0 to 1 (found: 0.5 and more).

    Raises `SetError`.
    """
    try:
        lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
        return {str(one["id"]): _categories(one["categories"]) for one in lines}
    except OSError as error:
        raise SetError(f"{path}: cannot be read: {error.strerror}") from None
    except (KeyError, ValueError, TypeError) as error:
        raise SetError(f"{path}: is no file of verdicts ({type(error).__name__})") from None


def _categories(given: list[str] | dict[str, float]) -> list[str]:
    return [name for name, score in given.items() if score >= 0.5] if isinstance(given, dict) else list(given)


def own_set(judge: Said | None) -> Iterator[str]:
    """The corpus' own policy on both halves, then each shipped one."""
    for half, what in HALVES.items():
        every = read(OWN / f"{half}.jsonl", "jsonl")
        for path in (OWN / "corpus.yaml", *SHIPPED):
            rules = Rules(path)
            texts = rules.labelled(every)
            found = found_by(rules, texts)
            tiers = {"rules": found} | ({"judge": judge} if judge is not None else {})
            yield f"## Own set, {half} ({what}), policy {rules.file.name}: {len(texts)} texts"
            yield quality(texts, tiers)
            yield harmless(texts, found)
            if rules.file.name == "corpus":
                yield evasions(texts, rules)


def public_set(path: Path, form: str, policies: list[Path], judge: Said | None) -> Iterator[str]:
    texts = read(path, form)
    tiers = {f"rules, {rules.file.name}": found_by(rules, texts) for rules in map(Rules, policies)}
    if judge is not None:
        tiers["judge"] = judge
    yield f"## {form}: {path.name}, {len(texts):,} texts"
    yield quality(texts, tiers)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.moderation", description="What policies find.")
    parser.add_argument("--set", type=Path, help="a file of labelled texts; without it, the own set")
    parser.add_argument("--format", choices=FORMATS, default="jsonl", help="of --set")
    parser.add_argument("--policy", type=Path, action="append", help="for --set, several times for several policies")
    parser.add_argument("--verdicts", type=Path, help="a judge's, as lines of JSON: id, categories")
    parser.add_argument("--write", action="store_true", help=f"keep the tables in bench/{RESULTS.name}")
    return parser.parse_args()


def main() -> int:
    args = _arguments()
    try:
        judge = verdicts(args.verdicts) if args.verdicts else None
        if args.set is None:
            parts = list(own_set(judge))
        else:
            parts = list(public_set(args.set, args.format, args.policy or [*SHIPPED[:2]], judge))
    except (SetError, ConfigError) as error:
        print(error, file=sys.stderr)
        return 2
    text = "\n\n".join(parts)
    print(text)
    if args.write:
        name = "own set" if args.set is None else args.format
        write_section(f"Moderation: {name}", f"Made by `python -m bench.moderation --write`.\n\n{text}")
        say(f"written to {RESULTS}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
